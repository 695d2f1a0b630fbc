import { Trans, useLingui } from "@lingui/react/macro";
import { lazy, Suspense } from "react";
import { Link, Route, Router, Switch, useLocation, useRoute } from "wouter";
import { ROUTER_BASE } from "../api/addresses";
import { Toasts } from "../parts/toasts";
import { SearchPage } from "../search/page";
import { ErrorBoundary } from "./error-boundary";
import { NotFound } from "./not-found";
import { OfflineBar } from "./offline-bar";
import { Preferences } from "./preferences";
import { useTopOfNewPage } from "./scroll";
import styles from "./shell.module.css";
import { ShortcutOverlay } from "./shortcuts";

const PicturePage = lazy(() => import("../picture/page"));
const LibraryPage = lazy(() => import("../library/page"));
const MapPage = lazy(() => import("../map/page"));
const GenerationPage = lazy(() => import("../generation/page"));

function Section({ to, children }: { to: string; children: React.ReactNode }) {
  const [here] = useRoute(to === "/" ? "/" : `${to}/*?`);
  return (
    <Link href={to} className={styles.section} aria-current={here ? "page" : undefined}>
      {children}
    </Link>
  );
}

function Header() {
  const { t } = useLingui();
  return (
    <header className={styles.header}>
      <a href="#main" className={styles.skip}>
        <Trans>To the content</Trans>
      </a>
      <Link href="/" className={styles.name}>
        image<span>2</span>search
      </Link>
      <nav aria-label={t`Sections`} className={styles.sections}>
        <Section to="/">
          <Trans>Search</Trans>
        </Section>
        <Section to="/library">
          <Trans>Library</Trans>
        </Section>
        <Section to="/map">
          <Trans>Map</Trans>
        </Section>
        <Section to="/generate">
          <Trans>Generate</Trans>
        </Section>
      </nav>
      <Preferences />
    </header>
  );
}

function Pages() {
  const [page] = useLocation();
  useTopOfNewPage();
  return (
    <ErrorBoundary page={page}>
      <Suspense fallback={<div className={styles.pending} />}>
        <Switch>
          <Route path="/" component={SearchPage} />
          <Route path="/pictures/:id">{({ id }) => <PicturePage key={id} id={id} />}</Route>
          <Route path="/library/*?" component={LibraryPage} />
          <Route path="/map" component={MapPage} />
          <Route path="/generate" component={GenerationPage} />
          <Route component={NotFound} />
        </Switch>
      </Suspense>
    </ErrorBoundary>
  );
}

/** Header, the page that the address names, and what lies over every page. */
export function Shell() {
  return (
    <Router base={ROUTER_BASE}>
      <Header />
      <OfflineBar />
      <main id="main" tabIndex={-1} className={styles.main}>
        <Pages />
      </main>
      <ShortcutOverlay />
      <Toasts />
    </Router>
  );
}
