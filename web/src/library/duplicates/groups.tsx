import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useRef, useState } from "react";
import { Link } from "wouter";
import { useReadOnly } from "../../api/use-read-only";
import { Button } from "../../parts/button";
import { bytesText } from "../../parts/bytes";
import { EmptyState } from "../../parts/empty-state";
import { tell, tellFailure } from "../../parts/toasts";
import { deletedLately } from "../../selection/deleted-lately";
import type { Meant } from "../../selection/deletion";
import { DeletionDialog } from "../../selection/deletion-dialog";
import { useDeletion } from "../../selection/use-deletion";
import { bytesOf, type Group, type Kept, type Kind, othersOf, split } from "./choice";
import styles from "./duplicates.module.css";
import { GroupCard } from "./group";
import { useDismissal, type useGroups, useRestoration } from "./queries";

const meantBy = (images: { image_id: string }[]): Meant => ({ image_ids: images.map((each) => each.image_id) });

/** The address of a kind of duplicates. */
export function pathOf(kind: Kind, dismissed: boolean): string {
  const parameters = new URLSearchParams({
    ...(kind !== "photo" && { kind }),
    ...(dismissed && { dismissed: "true" }),
  });
  return `/library/duplicates${parameters.size ? `?${parameters}` : ""}`;
}

interface GroupsProps {
  kind: Kind;
  dismissed: boolean;
  groups: ReturnType<typeof useGroups>;
}

/** The groups of one kind, and what can be done with all of them. */
export function Groups({ kind, dismissed, groups }: GroupsProps) {
  const { t, i18n } = useLingui();
  const readOnly = useReadOnly();
  const [kept, setKept] = useState<Kept>({});
  const [asked, setAsked] = useState<{ meant: Meant; bytes: number } | null>(null);
  const [busy, setBusy] = useState<string | null>(null);
  const dismissal = useDismissal();
  const restoration = useRestoration();
  const { remove } = useDeletion();
  const pages = groups.data?.pages ?? [];
  const shown = pages.flatMap((page) => page.groups);
  const [first] = pages;

  const list = useRef<HTMLOListElement>(null);
  /** When a group is gone, the one that has its place now has the focus. */
  const focusOn = (place: number) =>
    setTimeout(() => {
      const groupsThere = list.current?.children;
      groupsThere?.[Math.min(place, groupsThere.length - 1)]?.querySelector("button")?.focus({ preventScroll: true });
    });

  const deleteOthers = async (group: Group) => {
    const { others } = split(group, kept);
    // The person is not asked again once it is known that this service keeps a trash.
    if (!deletedLately().length) return setAsked({ meant: meantBy(others), bytes: bytesOf(others) });
    setBusy(group.id);
    await remove(meantBy(others), others.length);
    setBusy(null);
    focusOn(shown.indexOf(group));
  };
  const dismiss = (group: Group) =>
    dismissal.mutate(group, {
      onSuccess: ({ id }) => {
        focusOn(shown.indexOf(group));
        tell(t`This group is not shown again.`, {
          label: t`Undo`,
          run: () => restoration.mutate(id, { onError: tellFailure }),
        });
      },
      onError: tellFailure,
    });
  const actionsFor = (group: Group) => ({
    keep: (id: string) => setKept((before) => ({ ...before, [group.id]: id })),
    deleteOthers: () => void deleteOthers(group),
    dismiss: () => dismiss(group),
    restore: () => group.dismissal_id && restoration.mutate(group.dismissal_id, { onError: tellFailure }),
  });
  const acceptAll = () => {
    const others = othersOf(shown, kept);
    setAsked({ meant: meantBy(others), bytes: bytesOf(others) });
  };
  return (
    <>
      {first && <Uncompared count={first.uncompared} />}
      <div className={styles.bar}>
        {shown.length > 0 && !dismissed && first && (
          <p className={styles.soft}>
            <Plural value={first.count} one="# group" other="# groups" />,{" "}
            <Trans>{bytesText(first.freed_bytes, i18n.locale)} could be freed</Trans>
          </p>
        )}
        <Link href={pathOf(kind, !dismissed)}>
          {dismissed ? <Trans>Back to the duplicates</Trans> : <Trans>Show dismissed groups</Trans>}
        </Link>
        {shown.length > 0 && !dismissed && !readOnly && (
          <Button onClick={acceptAll}>
            <Trans>Accept all on this page</Trans>
          </Button>
        )}
      </div>
      {!shown.length && <Nothing dismissed={dismissed} />}
      <ol ref={list} className={styles.groups}>
        {shown.map((group) => (
          <GroupCard
            key={group.id}
            group={group}
            kept={kept}
            busy={busy === group.id}
            actions={readOnly ? null : actionsFor(group)}
          />
        ))}
      </ol>
      {groups.hasNextPage && (
        <Button disabled={groups.isFetchingNextPage} onClick={() => void groups.fetchNextPage()}>
          <Trans>Show more groups</Trans>
        </Button>
      )}
      <DeletionDialog meant={asked?.meant ?? null} onClose={() => setAsked(null)}>
        {asked && (
          <p>
            <Trans>
              This frees {bytesText(asked.bytes, i18n.locale)}. Of each group the picture that stays is kept.
            </Trans>
          </p>
        )}
      </DeletionDialog>
    </>
  );
}

function Uncompared({ count }: { count: number }) {
  if (!count) return null;
  return (
    <p className={styles.notice}>
      <Plural
        value={count}
        one="# picture was indexed by an older version and is not compared."
        other="# pictures were indexed by an older version and are not compared."
      />{" "}
      <Trans>
        Run <code>image2search index --details</code> where the service runs.
      </Trans>
    </p>
  );
}

function Nothing({ dismissed }: { dismissed: boolean }) {
  if (dismissed) {
    return (
      <EmptyState title={<Trans>No group is dismissed</Trans>}>
        <p>
          <Trans>Groups of which you say that they are no duplicates are listed here.</Trans>
        </p>
      </EmptyState>
    );
  }
  return (
    <EmptyState title={<Trans>No duplicates of this kind</Trans>}>
      <p>
        <Trans>Look at the other kinds above. New pictures are compared as soon as they are in the library.</Trans>
      </p>
    </EmptyState>
  );
}
