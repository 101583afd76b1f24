/**
 * What the examples in the OpenAPI document are about: the publisher and the app of `supabase/seed.sql`, with a version, a
 * run and the like. Tests make all of it in a database, and send every example.
 */
const id = (last: string) => `5eed0000-0000-4000-8000-00000000${last}`;

export const SAMPLE = {
  ada: id("0001"),
  northwind: id("c001"),
  harbour: id("c002"),
  app: id("a001"),
  privateApp: id("a002"),
  version: "1.1.0",
  draft: "1.0.0",
  file: id("f001"),
  draftFile: id("f002"),
  build: id("b001"),
  waitingBuild: id("b002"),
  run: id("d001"),
  waitingRun: id("d002"),
  output: id("d011"),
  schedule: id("e001"),
  webhook: id("e011"),
  inactiveWebhook: id("e012"),
  permission: id("e021"),
  time: "2025-07-21T09:00:00+00:00",
  checksum: `sha256:${"5eed".repeat(16)}`,
};
