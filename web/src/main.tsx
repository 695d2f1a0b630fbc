import "./design/tokens.css";
import "./design/base.css";
import { I18nProvider } from "@lingui/react";
import { QueryClientProvider } from "@tanstack/react-query";
import { enableHistorySync, NuqsAdapter } from "nuqs/adapters/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { i18n, loadLanguage } from "./app/language";
import { queryClient } from "./app/query-client";
import { Shell } from "./app/shell";
import { applyTheme } from "./app/theme";

// Links (wouter) change the address too: the search in it has to notice.
enableHistorySync();
history.scrollRestoration = "manual";
applyTheme();
await loadLanguage();

const place = document.getElementById("app");
if (!place) throw new Error("index.html has no #app");
createRoot(place).render(
  <StrictMode>
    <I18nProvider i18n={i18n}>
      <QueryClientProvider client={queryClient}>
        <NuqsAdapter>
          <Shell />
        </NuqsAdapter>
      </QueryClientProvider>
    </I18nProvider>
  </StrictMode>,
);
