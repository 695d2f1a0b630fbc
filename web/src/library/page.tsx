import { Trans, useLingui } from "@lingui/react/macro";
import { Route, Switch, useLocation } from "wouter";
import { NotFound } from "../app/not-found";
import { TabLinks } from "../parts/tab-links";
import { AddPage } from "./add/page";
import { BrowsePage } from "./browse/page";
import { DuplicatesPage } from "./duplicates/page";
import { IndexPage } from "./index/page";
import styles from "./page.module.css";

/** The library: its pictures, adding more, duplicates, and the index. */
export default function LibraryPage() {
  const { t } = useLingui();
  const [location] = useLocation();
  const link = (to: string, name: React.ReactNode) => ({ to, name, here: location === to });
  return (
    <div className={styles.page}>
      <TabLinks
        label={t`Library`}
        links={[
          link("/library", <Trans>Pictures</Trans>),
          link("/library/add", <Trans>Add</Trans>),
          link("/library/duplicates", <Trans>Duplicates</Trans>),
          link("/library/index", <Trans>Index</Trans>),
        ]}
      />
      <Switch>
        <Route path="/library" component={BrowsePage} />
        <Route path="/library/add" component={AddPage} />
        <Route path="/library/duplicates" component={DuplicatesPage} />
        <Route path="/library/index" component={IndexPage} />
        <Route component={NotFound} />
      </Switch>
    </div>
  );
}
