/** What `npm start` tells a newcomer beside addresses and keys. */
import type { Stack } from "./mod.ts";

/** Of supabase/seed.sql; a test signs all of them in. */
export const SEED = {
  password: "stowage-demo",
  people: [
    { email: "ada@northwind.example", role: "owner of Northwind, which publishes regional-sales" },
    { email: "alan@northwind.example", role: "member of Northwind" },
    { email: "grace@harbour.example", role: "owner of Harbour, which may run regional-sales" },
    { email: "linus@harbour.example", role: "member of Harbour" },
    { email: "root@stowage.example", role: "superadmin" },
  ],
};

/** What is asked next: where to read, who can sign in, and what is not here. */
export function renderHints({ apiUrl }: Stack): string {
  return [
    "",
    `HTTP API, to read and try: ${apiUrl}/functions/v1/api/reference`,
    `People of supabase/seed.sql, their password is ${SEED.password}:`,
    ...SEED.people.map(({ email, role }) => `  ${email.padEnd(24)} ${role}`),
    "There is no Realtime here; `supabase start` and hosted projects have it.",
  ].join("\n");
}
