import type { ImageInfo, Schemas } from "../../api/client";

export type Group = Schemas["DuplicateGroup"];
export type Kind = Schemas["Kind"];

/** The picture that a person keeps of a group, by the group's id; the suggested one where nothing is said. */
export type Kept = Readonly<Record<string, string>>;

export const picturesOf = (group: Group): ImageInfo[] => [group.keep, ...group.others.map((each) => each.image)];

/** What stays, and what goes when a group is accepted. A choice that left the group meanwhile does not count. */
export function split(group: Group, kept: Kept): { keep: ImageInfo; others: ImageInfo[] } {
  const pictures = picturesOf(group);
  const keep = pictures.find((each) => each.image_id === kept[group.id]) ?? group.keep;
  return { keep, others: pictures.filter((each) => each !== keep) };
}

/** What goes when all these groups are accepted: no picture that one of them keeps. */
export function othersOf(groups: readonly Group[], kept: Kept): ImageInfo[] {
  const stays = new Set(groups.map((group) => split(group, kept).keep.image_id));
  const goes = new Map<string, ImageInfo>();
  for (const group of groups) {
    for (const each of split(group, kept).others) if (!stays.has(each.image_id)) goes.set(each.image_id, each);
  }
  return [...goes.values()];
}

export const bytesOf = (images: readonly ImageInfo[]): number => images.reduce((sum, each) => sum + each.size_bytes, 0);
