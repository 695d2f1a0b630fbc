import { Trans } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { ROUTER_BASE } from "../api/addresses";
import { request } from "../api/client";
import styles from "./offline-bar.module.css";

const ASK_AGAIN_MS = 4_000;
const LOOK_MS = 30_000;

function subscribe(changed: () => void) {
  addEventListener("online", changed);
  addEventListener("offline", changed);
  return () => {
    removeEventListener("online", changed);
    removeEventListener("offline", changed);
  };
}

/** Whether the browser has a network at all. */
export const useOnline = () => useSyncExternalStore(subscribe, () => navigator.onLine);

async function isLive(): Promise<boolean> {
  const response = await request(`${ROUTER_BASE}/health/live`, { cache: "no-store" });
  return response.ok;
}

/** Says that the service can't be reached, for as long as that is so. */
export function OfflineBar() {
  const online = useOnline();
  const live = useQuery({
    queryKey: ["live"],
    queryFn: isLive,
    retry: false,
    networkMode: "always",
    refetchInterval: (query) => (query.state.status === "error" ? ASK_AGAIN_MS : LOOK_MS),
  });
  if (online && !live.isError) return null;
  return (
    <div className={styles.bar} role="status">
      {online ? (
        <Trans>The service does not answer. What you see may be old; this page tries again by itself.</Trans>
      ) : (
        <Trans>You are offline. What you see may be old.</Trans>
      )}
    </div>
  );
}
