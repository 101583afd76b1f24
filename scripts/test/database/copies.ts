/** Copies of a test database on its own server. */
import { withClient } from "../../stack/database.ts";

/** How many databases can be worked on at the same time. */
export function availableCopies(): number {
  return Math.min(navigator.hardwareConcurrency, 4);
}

/** Copies the database, which nobody may be connected to, and returns the copy's URL. */
export async function copyDatabase(url: string, name: string): Promise<string> {
  const original = new URL(url);
  const copy = new URL(url);
  copy.pathname = `/${name}`;
  // From a third one: the original must be idle, and the copy is not there yet.
  const elsewhere = new URL(url);
  elsewhere.pathname = "/template1";
  await withClient(elsewhere.href, (client) =>
    client.query(
      `create database ${client.escapeIdentifier(name)} template ${
        client.escapeIdentifier(original.pathname.slice(1))
      }`,
    ));
  return copy.href;
}
