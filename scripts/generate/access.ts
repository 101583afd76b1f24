/** Writes docs/access.md, who may do what, from the cases that the database tests try. */
import { projectPath } from "../stack/project.ts";
import { writeGenerated } from "./generated.ts";

const SOURCE = "supabase/tests/database/access.inc";
const TARGET = "docs/access.md";

/** In the order of the outcomes of a case. */
const ACTORS = [
  "Anonymous",
  "Nobody",
  "Outsider",
  "Customer: member",
  "admin",
  "owner",
  "Publisher: member",
  "admin",
  "owner",
  "Superadmin",
  "Service",
];

interface Case {
  section: string;
  what: string;
  outcomes: string[];
  messages: string[];
}

/** The cases between the two dollar quotes; the format is explained at the head of the file. */
function parse(source: string): Case[] {
  const text = source.split("$access$")[1];
  if (!text) throw new Error(`${SOURCE} has no cases.`);
  return text.trim().split(/\n\n+/).filter((block) => !block.startsWith("#")).map((block) => {
    const [head, , outcomes, ...messages] = block.split("\n");
    const [section, what] = head.split(": ");
    const parsed = { section, what, outcomes: outcomes.trim().split(/ +/), messages };
    if (!what || parsed.outcomes.length !== ACTORS.length) {
      throw new Error(`${SOURCE}: not a case:\n${block}`);
    }
    return parsed;
  });
}

function cell(outcome: string): string {
  if (outcome === "yes" || /^\d$/.test(outcome)) return "yes";
  if (outcome === "-") return "–";
  if (outcome === "no" || outcome === "rls") return "**no**";
  return `**${outcome}**`;
}

function row(cells: string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function section(name: string, cases: Case[]): string {
  const messages = [...new Set(cases.flatMap((c) => c.messages))]
    .map((message) => `- ${message.replace(/^(\w+): /, "**$1** ")}`);
  return [
    `## ${name}`,
    "",
    row(["", ...ACTORS]),
    row(["---", ...ACTORS.map(() => "---")]),
    ...cases.map((c) => row([c.what, ...c.outcomes.map(cell)])),
    ...(messages.length ? ["", ...messages] : []),
    "",
  ].join("\n");
}

function render(cases: Case[]): string {
  const sections = [...new Set(cases.map((c) => c.section))];
  return [
    "# Who may do what",
    "",
    `Generated from [${
      SOURCE.split("/").pop()
    }](../${SOURCE}) by \`npm run generate\`; every cell is a test of`,
    "`npm run test:db`.",
    "",
    "**yes**: it works. **–**: the row is not there for the actor, who is told nothing. **no**: refused with 42501. Anything",
    "else is the SQLSTATE of an error, explained below its table.",
    "",
    "*Nobody* is signed in but in no company, and the *outsider* owns another one. The *private app* is published by the",
    "publisher company and assigned to the customer company. The *service* is the secret key.",
    "",
    ...sections.map((name) => section(name, cases.filter((c) => c.section === name))),
  ].join("\n").trimEnd() + "\n";
}

await writeGenerated(TARGET, render(parse(await Deno.readTextFile(projectPath(SOURCE)))));
