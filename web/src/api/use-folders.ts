import { useQuery } from "@tanstack/react-query";
import { answer, api } from "./client";

/** All folders with their counts. */
export const useFolders = () =>
  useQuery({ queryKey: ["folders"], queryFn: ({ signal }) => answer(api.GET("/api/v1/folders", { signal })) });
