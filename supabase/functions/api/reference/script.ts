/**
 * What the reference page runs. It builds the page from the document by text alone, never as markup, and keeps the
 * credentials in the fields that they are typed into.
 */
export const SCRIPT = `"use strict";
(() => {
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  // Every second part of what a separator with a group divides is what the group matched.
  const alternate = (element, parts, special) => {
    parts.forEach((part, index) => element.append(index % 2 ? special(part) : part));
    return element;
  };
  const prose = (tag, text) => alternate(make(tag), text.split("\\x60"), (code) => make("code", code));
  const json = (value) => alternate(
    make("pre"),
    JSON.stringify(value, null, 2).split(/"#\\/components\\/schemas\\/(\\w+)"/),
    (name) => make("a", name, { href: "#schema-" + name }),
  );
  const base = new URL(".", location.href);

  const resolve = (root, value) => value && value.$ref
    ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], root)
    : value;

  const choiceOf = (schema, attributes) => {
    const select = make("select", undefined, attributes);
    for (const value of ["", ...schema.enum]) select.append(make("option", value));
    return select;
  };

  const field = (parameter) => {
    const label = make("label");
    label.append(make("span", parameter.name + (parameter.required ? " *" : "")));
    const attributes = { name: parameter.in + ":" + parameter.name, ...(parameter.required && { required: "" }) };
    const { schema = {} } = parameter;
    const input = schema.enum ? choiceOf(schema, attributes) : make("input", undefined, attributes);
    if (parameter.in === "path" && parameter.example !== undefined) input.value = parameter.example;
    const note = prose("small", parameter.description || "");
    const several = schema.items && schema.items.enum;
    if (several) note.append(" Out of ", make("code", several.join(",")), ".");
    if (schema.default !== undefined) note.append(" Default ", make("code", String(schema.default)), ".");
    label.append(input, note);
    return label;
  };

  const send = async (method, path, form, output) => {
    const query = new URLSearchParams();
    const headers = {};
    let target = path;
    let body;
    for (const [name, value] of new FormData(form)) {
      if (value === "") continue;
      const [place, key] = [name.slice(0, name.indexOf(":")), name.slice(name.indexOf(":") + 1)];
      if (place === "path") target = target.replace("{" + key + "}", encodeURIComponent(value));
      if (place === "query") query.set(key, value);
      if (place === "header") headers[key] = value;
      if (place === "body") { body = value; headers["content-type"] = "application/json"; }
    }
    const credentials = new FormData(document.getElementById("credentials"));
    if (credentials.get("apikey")) headers.apikey = credentials.get("apikey");
    if (credentials.get("token")) headers.authorization = "Bearer " + credentials.get("token");
    const url = new URL(target.slice(1) + (query.size ? "?" + query : ""), base);
    output.replaceChildren(make("p", method + " " + url.pathname + url.search + " …"));
    try {
      const started = performance.now();
      const response = await fetch(url, { method, headers, body, credentials: "omit" });
      const text = await response.text();
      const took = Math.round(performance.now() - started);
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON */ }
      output.replaceChildren(
        make("p", response.status + " " + response.statusText + ", " + took + " ms"),
        make("pre", [...response.headers].map(([name, value]) => name + ": " + value).join("\\n")),
        make("pre", shown),
      );
    } catch (error) {
      output.replaceChildren(make("p", "No answer: " + error.message));
    }
  };

  const operation = (root, path, method, spec) => {
    const section = make("section", undefined, { id: spec.operationId });
    const title = make("h3");
    title.append(make("span", method.toUpperCase(), { class: "method" }), make("code", path));
    section.append(title, prose("p", spec.summary + "." + (spec.description ? " " + spec.description : "")));
    const form = make("form", undefined, { autocomplete: "off" });
    for (const parameter of spec.parameters) form.append(field(resolve(root, parameter)));
    const content = spec.requestBody && spec.requestBody.content["application/json"];
    if (content) {
      const text = make("textarea", JSON.stringify(content.example, null, 2), { name: "body:body", "aria-label": "Body" });
      const schema = make("details");
      schema.append(make("summary", "Schema of the body"), json(content.schema));
      form.append(text, schema);
    }
    const output = make("div", undefined, { "aria-live": "polite" });
    form.append(make("button", "Send", { type: "submit" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(method.toUpperCase(), path, form, output);
    });
    section.append(form, output);
    const answers = make("details");
    answers.append(make("summary", "Answers"));
    for (const [status, answer] of Object.entries(spec.responses)) {
      const { description, content = {} } = resolve(root, answer);
      answers.append(prose("p", status + ": " + description));
      for (const { schema, example } of Object.values(content)) {
        if (Number(status) < 400) answers.append(json(resolve(root, schema)), example === undefined ? "" : json(example));
      }
    }
    section.append(answers);
    return section;
  };

  const show = (root) => {
    const [nav, main] = [document.querySelector("nav"), document.querySelector("main")];
    const access = document.getElementById("access");
    main.replaceChildren(prose("p", root.info.description), access);
    for (const { name } of root.tags) {
      nav.append(make("h2", name));
      main.append(make("h2", name));
      for (const [path, methods] of Object.entries(root.paths)) {
        for (const [method, spec] of Object.entries(methods)) {
          if (spec.tags[0] !== name) continue;
          nav.append(make("a", spec.summary, { href: "#" + spec.operationId }));
          main.append(operation(root, path, method, spec));
        }
      }
    }
    nav.append(make("h2", "Schemas"));
    main.append(make("h2", "Schemas"));
    for (const [name, schema] of Object.entries(root.components.schemas)) {
      nav.append(make("a", name, { href: "#schema-" + name }));
      const section = make("section", undefined, { id: "schema-" + name });
      section.append(make("h3", name), prose("p", schema.description || ""), json(schema));
      main.append(section);
    }
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  };

  fetch(new URL("openapi.json", base)).then((response) => response.json()).then(show, (error) => {
    document.getElementById("notice").textContent = "The document could not be read: " + error.message;
  });
})();
`;
