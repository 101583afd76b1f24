/** The reference page in a browser: what it shows, and how wide it is on a telephone. */
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { findBrowser, runPage } from "../../../../scripts/testing/browser.ts";
import { projectPath } from "../../../../scripts/stack/project.ts";
import { referencePage } from "../../api/reference/page.ts";

const WIDTH = 390;

/** Beside the page itself: shows it once more in a frame as wide as a telephone, and tells what is there. */
const PROBE = `<script>
if (top === self) {
  const frame = document.createElement("iframe");
  frame.style.cssText = "width: ${WIDTH}px; height: 800px; border: 0";
  frame.src = "/";
  const look = () => {
    const page = frame.contentDocument;
    if (!page || !page.querySelector("#schema-App")) return setTimeout(look, 20);
    const all = (selector) => [...page.querySelectorAll(selector)];
    for (const details of all("details")) details.open = true;
    const form = page.querySelector("#getApp form");
    form.querySelector("[name^='path:']").value = "";
    fetch("/result", { method: "POST", body: JSON.stringify({
      overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
      text: page.body.innerText,
      prose: all("p, small, h3").map((element) => element.textContent).join(" "),
      lost: all("a[href^='#']").map((link) => link.getAttribute("href").slice(1))
        .filter((id) => !page.getElementById(id)),
      links: all("section pre a[href='#schema-App']").length,
      sendsEmptyPath: form.checkValidity(),
      sort: all("#listApps select[name='query:sort'] option").map((option) => option.value),
      status: page.querySelector("#listApps [name='query:status']").parentElement.innerText,
    }) });
  };
  frame.onload = look;
  document.body.append(frame);
}
</script>`;

const browser = findBrowser();
// A machine that decides has a browser; others may do without.
const skip = !browser && !Deno.env.get("CI");

Deno.test({
  name: `the reference shows every schema and choice, and fits a telephone${
    skip ? " (skipped: no chromium on this machine)" : ""
  }`,
  ignore: skip,
  async fn() {
    assert(browser, "CI needs a chromium");
    const document = await Deno.readTextFile(projectPath("docs/openapi.json"));
    const seen = await runPage(browser, referencePage() + PROBE, { "openapi.json": document });
    assertEquals([seen.overflow, seen.lost], [0, []]);
    assert(seen.links >= 1, "answers lead to the schema of what they hold");
    assertEquals([seen.prose.includes("`"), seen.text.includes("#/components/")], [false, false]);
    assertEquals(seen.sendsEmptyPath, false);
    const { parameters } = JSON.parse(document).paths["/apps"].get;
    const schemaOf = (name: string) =>
      parameters.find((parameter: { name: string }) => parameter.name === name).schema;
    assertEquals(seen.sort, ["", ...schemaOf("sort").enum]);
    assert(seen.status.includes(schemaOf("status").items.enum.join(",")), seen.status);
    assert(seen.text.includes("/auth/v1/token"), "it says how to come by a token");
  },
});
