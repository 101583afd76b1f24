// An ECMAScript module with a file of its own beside it.
import { readFileSync } from "node:fs";
import { greeting } from "./lib/greeting.js";
console.log(greeting, readFileSync(new URL("./data.txt", import.meta.url), "utf8").trim());
