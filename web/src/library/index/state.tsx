import { Plural, Trans, useLingui } from "@lingui/react/macro";
import type { Schemas } from "../../api/client";
import { EmptyState } from "../../parts/empty-state";
import { Fact } from "../../parts/fact";
import styles from "./index.module.css";

/** The index in words: how much is in it, what made it, and what is wrong, if anything. */
export function State({ index }: { index: Schemas["IndexInfo"] }) {
  const { i18n } = useLingui();
  const { count, folders, skipped, model, indexed_by: indexedBy, made_with: madeWith, vector_store: store } = index;
  const differs = indexedBy !== null && indexedBy.fingerprint !== model.fingerprint;
  return (
    <>
      {index.problem && index.generation !== null && (
        <div className={styles.problem} role="alert">
          <strong>
            <Trans>The newest state of the index is not the one that is searched</Trans>
          </strong>
          <p>{index.problem}</p>
        </div>
      )}
      {index.generation === null ? (
        <EmptyState title={<Trans>There is no index yet</Trans>}>
          <p>
            <Trans>Update the index: the run reads all pictures of the storage. Searches work when it is done.</Trans>
          </p>
          {index.problem && (
            <p>
              <small>{index.problem}</small>
            </p>
          )}
        </EmptyState>
      ) : (
        <section className={styles.state}>
          <p className={styles.count}>
            <Plural value={count} one="# picture" other="# pictures" />{" "}
            <span>
              <Plural value={folders} _0="outside of folders" one="in # folder" other="in # folders" />
            </span>
          </p>
          <dl className={styles.facts}>
            {index.created_at && (
              <Fact name={<Trans>Published</Trans>}>
                {i18n.date(index.created_at, { dateStyle: "medium", timeStyle: "short" })}
              </Fact>
            )}
            {skipped > 0 && (
              <Fact name={<Trans>Passed over</Trans>}>
                <Plural
                  value={skipped}
                  one="# file that can't be read as a picture"
                  other="# files that can't be read as pictures"
                />
              </Fact>
            )}
            <Fact name={<Trans>Model</Trans>}>
              {model.name}
              <small>
                <Trans>
                  {model.dimension} numbers for each picture, computed in {model.precision} by {model.runtime}
                </Trans>
              </small>
              {index.notice && <small>{index.notice}</small>}
            </Fact>
            {differs && (
              <Fact name={<Trans>Made by</Trans>}>
                <strong>{indexedBy.name}</strong>
                <small>
                  <Trans>That is another model than the one that runs. Build the index anew.</Trans>
                </small>
              </Fact>
            )}
            {model.agreement !== null && (
              <Fact name={<Trans>Precision</Trans>}>
                <Trans>
                  {i18n.number(model.agreement, { style: "percent", maximumFractionDigits: 2 })} agreement with full
                  precision
                </Trans>
                {madeWith.length > 1 && (
                  <small>
                    <Trans>The vectors were made in several ways: {madeWith.join(", ")}</Trans>
                  </small>
                )}
              </Fact>
            )}
            <Fact name={<Trans>Vectors</Trans>}>
              {store.engine}
              <small>{store.statement}</small>
            </Fact>
            <Fact name={<Trans>Generation</Trans>}>
              <code>{index.generation}</code>
              {index.journal > 0 && (
                <small>
                  <Plural value={index.journal} one="and # change since" other="and # changes since" />
                </small>
              )}
            </Fact>
          </dl>
        </section>
      )}
    </>
  );
}
