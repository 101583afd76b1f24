/** `npm run publish:app`: a folder becomes a released version of an app. */
import { resolve } from "node:path";
import { isId } from "../../supabase/functions/_shared/ids.ts";
import { PROJECT_DIR } from "../stack/project.ts";
import { readState } from "../stack/state.ts";
import { asksForHelp, concludeCommand, helpOf, readOptions } from "../command/command.ts";
import { CommandError, UsageError } from "../command/errors.ts";
import {
  type Client,
  createStatelessClient,
  readPublishableKey,
  readSecretKey,
  readUrl,
} from "../command/project.ts";
import { fetchOrExplain } from "../command/reach.ts";
import { packApp, type PackedApp } from "./pack.ts";
import { ask, releaseVersion, uploadApp } from "./publish.ts";

const COMMAND = {
  name: "publish:app",
  usage: "DIR --app APP [--create COMPANY] [--email EMAIL --password PASSWORD] [--draft]",
  help: `
Packs the folder DIR, uploads it as the version that its manifest names, has it verified, and releases it.

  --app APP           slug of the app; COMPANY/SLUG where several companies have one of that name; or its id
  --create COMPANY    makes the app if there is none: private, of the company with this slug
  --draft             does not release the version
  --email EMAIL, --password PASSWORD
                      an owner or admin of the app's publisher; or STOWAGE_EMAIL and STOWAGE_PASSWORD

The project is the one of SUPABASE_URL, with SUPABASE_PUBLISHABLE_KEY for a user, or SUPABASE_SECRET_KEY to act as the
service; without SUPABASE_URL it is the stack that this checkout runs (npm start). What apps are made of: docs/apps.md.`,
  options: {
    app: { type: "string" },
    create: { type: "string" },
    draft: { type: "boolean", default: false },
    email: { type: "string" },
    password: { type: "string" },
  },
  words: true,
} as const;

type Environment = Record<string, string | undefined>;

/** Runs the command; what it tells goes to `tell`. Throws CommandError for what its user can do something about. */
export async function publish(
  args: string[],
  env: Environment,
  tell: (line: string) => void,
): Promise<void> {
  if (asksForHelp(args)) return tell(helpOf(COMMAND));
  const { values, words } = readOptions(COMMAND, args);
  const [dir, ...more] = words;
  if (!dir) throw new UsageError("Name the folder of the app.");
  if (more.length > 0) throw new UsageError(`One folder at a time; ${more[0]} is too many.`);
  if (!values.app) throw new UsageError("--app is missing: which app is this a version of?");
  const credentials = {
    email: values.email ?? env.STOWAGE_EMAIL,
    password: values.password ?? env.STOWAGE_PASSWORD,
  };
  // npm runs scripts at the root; what is typed is meant from where it is typed.
  const packed = await packApp(env.INIT_CWD ? resolve(env.INIT_CWD, dir) : dir);
  const client = await connect(env, credentials);
  try {
    const app = await findApp(client, appOf(values.app, values.create)) ??
      await createApp(client, values.app, values.create, packed);
    for (const path of packed.leftOut) tell(`left out: ${path}`);
    if (await isReleased(client, app.id, packed)) {
      return tell(`${app.slug} ${packed.version} is released already, with these very files.`);
    }
    await uploadApp(client, app.id, packed);
    tell(`uploaded and verified: ${packed.files.length} files, ${packed.bytes.length} bytes`);
    if (values.draft) {
      return tell(`${app.slug} ${packed.version} is a draft (app ${app.id}). Nobody can run it.`);
    }
    await releaseVersion(client, app.id, packed.version);
    tell(
      `${app.slug} ${packed.version} is released (app ${app.id}). Its files never change again.`,
    );
  } finally {
    await client.auth.signOut({ scope: "local" });
  }
}

/** The project as the user, or without one as the service. */
async function connect(
  env: Environment,
  { email, password }: { email?: string; password?: string },
): Promise<Client> {
  if (Boolean(email) !== Boolean(password)) {
    throw new UsageError(`--${email ? "password" : "email"} is missing: they go together.`);
  }
  const { url, key } = await findProject(env, email !== undefined);
  const client = createStatelessClient(url, key, fetchOrExplain);
  if (email && password) {
    const { error } = await client.auth.signInWithPassword({ email, password });
    if (error) throw new CommandError(`Signing in as ${email} at ${url}: ${error.message}`);
  }
  return client;
}

async function findProject(
  env: Environment,
  asUser: boolean,
): Promise<{ url: string; key: string }> {
  const url = env.SUPABASE_URL;
  const name = asUser ? "SUPABASE_PUBLISHABLE_KEY" : "SUPABASE_SECRET_KEY";
  if (!url) {
    const stack = await readState(`${PROJECT_DIR}/.stowage`);
    if (!stack) {
      throw new UsageError("Set SUPABASE_URL, or start the stack of this checkout (npm start).");
    }
    return { url: stack.apiUrl, key: asUser ? stack.publishableKey : stack.secretKey };
  }
  const project = readUrl(url);
  const key = env[name];
  if (!key) {
    throw new UsageError(
      asUser
        ? `Set ${name}: a user signs in with it.`
        : `Set ${name}, or sign in with --email and --password.`,
    );
  }
  return { url: project, key: asUser ? readPublishableKey(key) : readSecretKey(key) };
}

interface App {
  id: string;
  slug: string;
}

/** What to look for: an app that may have to be made is this company's, and no other's of the same slug. */
function appOf(name: string, companySlug: string | undefined): string {
  const isBare = !isId(name) && !name.includes("/");
  return isBare && companySlug !== undefined ? `${companySlug}/${name}` : name;
}

/** The app among those that the caller sees; undefined if there is none. */
async function findApp(client: Client, name: string): Promise<App | undefined> {
  const apps = client.from("applications").select("id, slug, publisher_company_id");
  const [slug, company] = name.split("/").toReversed();
  const found = await ask(
    "looking for the app",
    isId(name) ? apps.eq("id", name) : apps.eq("slug", slug),
  );
  const companies = await ask(
    "looking for its publisher",
    client.from("companies").select("id, slug"),
  );
  const publisherOf = (id: string) => companies.find((company) => company.id === id)?.slug;
  const meant = company === undefined
    ? found
    : found.filter((app) => publisherOf(app.publisher_company_id) === company);
  if (meant.length < 2) return meant[0];
  const choices = meant.map((app) => `${publisherOf(app.publisher_company_id) ?? "?"}/${slug}`);
  throw new UsageError(`--app ${name} may be any of ${choices.toSorted().join(", ")}: name one.`);
}

async function createApp(
  client: Client,
  name: string,
  companySlug: string | undefined,
  packed: PackedApp,
): Promise<App> {
  if (companySlug === undefined) {
    throw new CommandError(
      `There is no app ${name} that you may see. --create COMPANY makes one of your company.`,
    );
  }
  if (isId(name) || name.includes("/")) {
    throw new UsageError("--create takes a slug in --app: the company is named beside it.");
  }
  const [company] = await ask(
    "looking for the company",
    client.from("companies").select("id").eq("slug", companySlug),
  );
  if (!company) {
    throw new CommandError(`There is no company ${companySlug} among yours (--create).`);
  }
  return await ask(
    `creating the app ${name}`,
    client.from("applications")
      .insert({ slug: name, name: packed.name, publisher_company_id: company.id })
      .select("id, slug").single(),
  );
}

/** Whether exactly this was published before, so that the command may be repeated. */
async function isReleased(client: Client, appId: string, packed: PackedApp): Promise<boolean> {
  const [version] = await ask(
    "looking for the version",
    client.from("app_versions").select("status").eq("app_id", appId).eq("version", packed.version),
  );
  if (version?.status !== "published") return false;
  const files = await ask(
    "looking at its files",
    client.from("app_storage").select("checksum").eq("app_id", appId).eq("version", packed.version),
  );
  return files.length === 1 && files[0].checksum === packed.checksum;
}

if (import.meta.main) {
  await concludeCommand(COMMAND, () => publish(Deno.args, Deno.env.toObject(), console.log));
}
