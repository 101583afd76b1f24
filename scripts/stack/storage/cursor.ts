/** Where a page of version 2's listing begins. Clients carry it from page to page and do not look inside. */
import { Buffer } from "node:buffer";
import { errors } from "./errors.ts";

export interface Cursor {
  /** The last name of the page before. */
  startAfter: string;
  sortOrder?: "asc" | "desc";
  sortColumn?: "name" | "updated_at" | "created_at";
  /** That row's timestamp, ISO 8601, when sorted by one. */
  sortColumnAfter?: string;
}

const LETTERS = {
  l: "startAfter",
  o: "sortOrder",
  c: "sortColumn",
  a: "sortColumnAfter",
} as const;

export function encodeCursor(cursor: Cursor): string {
  const lines = Object.entries(LETTERS)
    .filter(([, part]) => cursor[part])
    .map(([letter, part]) => `${letter}:${cursor[part]}`);
  return Buffer.from(lines.join("\n")).toString("base64");
}

/** Checks every part: what comes back may be made up, and goes into a query's order. */
export function decodeCursor(token: string): Cursor {
  const parts: Record<string, string> = {};
  for (const line of Buffer.from(token, "base64").toString().split("\n")) {
    const [, letter = "", value = ""] = /^(\S):(.*)$/.exec(line) ?? [];
    if (!(letter in LETTERS)) throw errors.invalidParameter("continuation token");
    parts[LETTERS[letter as keyof typeof LETTERS]] = value;
  }
  const sortColumn = (["name", "updated_at", "created_at"] as const)
    .find((column) => column === parts.sortColumn);
  return {
    startAfter: parts.startAfter ?? "",
    sortOrder: parts.sortOrder === "desc" ? "desc" : "asc",
    sortColumn,
    sortColumnAfter: parts.sortColumnAfter,
  };
}
