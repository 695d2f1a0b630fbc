/** A folder as the service counts it. */
export interface FolderCount {
  path: string;
  direct: number;
  nested: number;
}

export interface Folder extends FolderCount {
  /** The last part of its path. */
  name: string;
  children: Folder[];
}

/** `nature` and `nature/beach` of `nature/beach`. */
export const ancestorsOf = (path: string): string[] => {
  const parts = path.split("/");
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
};

const byName = new Intl.Collator(undefined, { numeric: true });

function sort(folders: Folder[]): Folder[] {
  for (const each of folders) sort(each.children);
  return folders.sort((a, b) => byName.compare(a.name, b.name));
}

/** The folders as a tree, each level in the order of people. A parent that is not listed comes into being. */
export function treeOf(counts: readonly FolderCount[]): Folder[] {
  const found = new Map<string, Folder>();
  const roots: Folder[] = [];
  const folderAt = (path: string): Folder => {
    const known = found.get(path);
    if (known) return known;
    const cut = path.lastIndexOf("/");
    const folder: Folder = { path, name: path.slice(cut + 1), direct: 0, nested: 0, children: [] };
    found.set(path, folder);
    (cut > 0 ? folderAt(path.slice(0, cut)).children : roots).push(folder);
    return folder;
  };
  for (const each of counts) Object.assign(folderAt(each.path), { direct: each.direct, nested: each.nested });
  return sort(roots);
}

/** Folders in the order of the tree, with how deep they lie. */
export function flat(folders: readonly Folder[], depth = 0): { folder: Folder; depth: number }[] {
  return folders.flatMap((folder) => [{ folder, depth }, ...flat(folder.children, depth + 1)]);
}
