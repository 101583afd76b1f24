/** A database to run pgTAP in, which nobody else uses. */
import { withClient } from "../../stack/database.ts";
import { startTestDatabase, type TestDatabase } from "../../testing/database.ts";

/** A test database that has the extension: files create it where it is missing, and would wait for each other to do so. */
export async function startTapDatabase(): Promise<TestDatabase> {
  const database = await startTestDatabase();
  try {
    await withClient(
      database.url,
      (client) => client.query("create extension pgtap schema extensions"),
    );
  } catch (error) {
    await database.stop();
    throw error;
  }
  return database;
}
