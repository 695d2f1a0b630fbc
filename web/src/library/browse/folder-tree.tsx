import { Trans, useLingui } from "@lingui/react/macro";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import type { Schemas } from "../../api/client";
import styles from "./folder-tree.module.css";
import { ancestorsOf, type Folder, flat, treeOf } from "./tree";

interface Props {
  folders: Schemas["FolderList"];
  /** Empty: all pictures. */
  current: string;
  /** The address of a folder. */
  pathOf: (folder: string) => string;
}

/** Another folder begins at its top; the tree stays in sight. */
const toTop = () => scrollTo(0, 0);

/** Folders to walk through, with how many pictures lie in and below each. */
export function FolderTree({ folders, current, pathOf }: Props) {
  const { t } = useLingui();
  return (
    <nav aria-label={t`Folders`} className={styles.tree}>
      <ul>
        <li>
          <Link
            href={pathOf("")}
            onClick={toTop}
            className={styles.folder}
            aria-current={current === "" ? "page" : undefined}
          >
            <span className={styles.name}>
              <Trans>All pictures</Trans>
            </span>
            <span className={styles.count}>{folders.count}</span>
          </Link>
        </li>
        {treeOf(folders.folders).map((each) => (
          <Branch key={each.path} folder={each} current={current} pathOf={pathOf} depth={0} />
        ))}
      </ul>
    </nav>
  );
}

interface BranchProps {
  folder: Folder;
  current: string;
  pathOf: (folder: string) => string;
  depth: number;
}

function Branch({ folder, current, pathOf, depth }: BranchProps) {
  const { t } = useLingui();
  const leadsHere = ancestorsOf(current).includes(folder.path);
  const [chosen, setChosen] = useState<boolean | null>(null);
  const open = chosen ?? leadsHere;
  const { name } = folder;
  return (
    <li>
      <div className={styles.row} style={{ paddingLeft: `${depth * 0.9}rem` }}>
        {folder.children.length > 0 && (
          <button
            type="button"
            className={styles.toggle}
            aria-expanded={open}
            aria-label={open ? t`Hide the folders in ${name}` : t`Show the folders in ${name}`}
            onClick={() => setChosen(!open)}
          />
        )}
        <Link
          href={pathOf(folder.path)}
          onClick={toTop}
          className={styles.folder}
          aria-current={current === folder.path ? "page" : undefined}
        >
          <span className={styles.name}>{name}</span>
          <span className={styles.count}>{folder.nested}</span>
        </Link>
      </div>
      {open && folder.children.length > 0 && (
        <ul>
          {folder.children.map((each) => (
            <Branch key={each.path} folder={each} current={current} pathOf={pathOf} depth={depth + 1} />
          ))}
        </ul>
      )}
    </li>
  );
}

const INDENT = "\u2003";

/** The same for a small screen. */
export function FolderSelect({ folders, current, pathOf }: Props) {
  const { t } = useLingui();
  const [, navigate] = useLocation();
  const all = flat(treeOf(folders.folders));
  const isKnown = !current || all.some(({ folder }) => folder.path === current);
  return (
    <select
      className={styles.select}
      aria-label={t`Folder`}
      value={current}
      onChange={(event) => navigate(pathOf(event.target.value))}
    >
      <option value="">{t`All pictures (${folders.count})`}</option>
      {!isKnown && <option value={current}>{current}</option>}
      {all.map(({ folder, depth }) => (
        <option key={folder.path} value={folder.path}>
          {INDENT.repeat(depth)}
          {folder.name} ({folder.nested})
        </option>
      ))}
    </select>
  );
}

/** Boxes of the size that the tree will have. */
export function PendingTree() {
  return (
    <div className={styles.pending} aria-hidden="true">
      {[70, 55, 80, 62, 74, 50].map((width) => (
        <div key={width} style={{ width: `${width}%` }} />
      ))}
    </div>
  );
}
