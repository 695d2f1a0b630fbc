import { Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { API } from "../api/addresses";
import { request } from "../api/client";
import { authorization } from "../api/key";
import { isServiceError, messageOf, serviceError } from "../api/problems";
import { Button } from "../parts/button";
import { Field } from "../parts/field";
import styles from "./heat-map.module.css";

const SIZE = 1024;

async function heatMap(id: string, words: string, signal: AbortSignal): Promise<Blob> {
  const query = new URLSearchParams({ query: words, size: String(SIZE), format: "png" });
  const response = await request(`${API}/images/${id}/explain?${query}`, { headers: authorization(), signal });
  if (!response.ok) throw serviceError(response, await response.json().catch(() => null));
  return response.blob();
}

/** The heat map for the words that were asked for. `address` is one for an <img>. */
export function useHeatMap(id: string) {
  const [words, setWords] = useState("");
  const [address, setAddress] = useState<string | null>(null);
  const { data, error, isFetching } = useQuery({
    queryKey: ["heat-map", id, words],
    queryFn: ({ signal }) => heatMap(id, words, signal),
    enabled: words !== "",
    staleTime: Number.POSITIVE_INFINITY,
  });
  useEffect(() => {
    if (!data || !words) return setAddress(null);
    const made = URL.createObjectURL(data);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [data, words]);
  return { words, setWords, address, error, isFetching };
}

/** Asks where in the picture something is. */
export function WherePanel({ heat, suggestion }: { heat: ReturnType<typeof useHeatMap>; suggestion: string }) {
  const { t } = useLingui();
  const [typed, setTyped] = useState(suggestion);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    heat.setWords(typed.trim());
  };
  const unable = isServiceError(heat.error, 501);
  return (
    <form className={styles.panel} onSubmit={submit}>
      <Field
        label={t`Why it matches`}
        hint={heat.address ? t`Warm colours lie where the picture fits the words.` : undefined}
        error={
          heat.error
            ? unable
              ? t`This model can't show where: ${messageOf(heat.error)}`
              : messageOf(heat.error)
            : undefined
        }
      >
        <input
          value={typed}
          maxLength={2000}
          placeholder={t`e.g. a red hat`}
          onChange={(event) => setTyped(event.target.value)}
        />
      </Field>
      <div className={styles.buttons}>
        <Button type="submit" disabled={!typed.trim() || heat.isFetching} aria-busy={heat.isFetching}>
          {heat.isFetching ? <Trans>Looking…</Trans> : <Trans>Show where</Trans>}
        </Button>
        {heat.words && (
          <Button kind="quiet" onClick={() => heat.setWords("")}>
            <Trans>Hide</Trans>
          </Button>
        )}
      </div>
    </form>
  );
}
