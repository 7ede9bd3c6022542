// Shows /openapi.json and sends requests to the API it describes. It loads nothing from anywhere else, keeps the
// token in its input only, and puts every text into the page as text.
"use strict";

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function resolved(api, schema) {
  if (!schema || !schema.$ref) return schema || {};
  return resolved(api, schema.$ref.slice(2).split("/").reduce((at, part) => at[part], api));
}

function typeOf(api, schema) {
  const here = resolved(api, schema);
  if (here.enum) return here.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (here.const !== undefined) return JSON.stringify(here.const);
  for (const key of ["anyOf", "oneOf"]) {
    if (here[key]) return here[key].map((one) => typeOf(api, one)).join(" | ");
  }
  if (here.type === "array") return `${typeOf(api, here.items)}[]`;
  return here.type || "any";
}

function bodySchema(api, operation) {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  if (!content) return null;
  const wanted = resolved(api, content.schema);
  // An optional body is a choice between the object and null.
  return wanted.anyOf ? resolved(api, wanted.anyOf[0]) : wanted;
}

function fieldTable(api, schema) {
  const rows = Object.entries(schema.properties || {}).map(([name, field]) => {
    const required = (schema.required || []).includes(name) ? " *" : "";
    return element("tr", {},
      element("td", {}, element("code", { textContent: name + required })),
      element("td", {}, element("code", { textContent: typeOf(api, field) })),
      element("td", { textContent: field.description || resolved(api, field).description || "" }));
  });
  return rows.length ? element("table", {}, ...rows) : element("span");
}

function parameterInputs(operation) {
  return (operation.parameters || []).map((parameter) => {
    const input = element("input", { name: parameter.name, required: parameter.required || false });
    input.dataset.place = parameter.in;
    return element("label", { title: parameter.description || "" }, `${parameter.name} `, input);
  });
}

async function send(form, method, path, output) {
  const query = new URLSearchParams();
  let url = path;
  for (const input of form.querySelectorAll("input")) {
    if (input.dataset.place === "path") url = url.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(input.name, input.value);
  }
  if ([...query].length) url += `?${query}`;
  const token = byId("token").value.trim();
  const options = { method: method.toUpperCase(), headers: token ? { authorization: `Bearer ${token}` } : {} };
  const body = form.querySelector("textarea");
  if (body && body.value.trim()) options.body = body.value;
  output.hidden = false;
  output.textContent = `${options.method} ${url}`;
  try {
    const answer = await fetch(url, options);
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* no JSON: as it is */ }
    output.textContent += `\n${answer.status} ${answer.statusText}\n\n${shown}`;
  } catch (error) {
    output.textContent += `\n${error}`;
  }
}

function operationElement(api, path, method, operation) {
  const form = element("form", {}, element("p", { className: "note", textContent: operation.description || "" }));
  form.append(...parameterInputs(operation));
  const schema = bodySchema(api, operation);
  if (schema) {
    const example = (schema.examples || [{}])[0];
    form.append(element("textarea", { value: JSON.stringify(example, null, 2), spellcheck: false }));
    form.append(fieldTable(api, schema));
  }
  const output = element("pre", { hidden: true });
  form.append(element("p", {}, element("button", { textContent: "Send" })), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, method, path, output);
  });
  return element("details", { className: "operation" },
    element("summary", {},
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      path,
      element("span", { className: "summary", textContent: operation.summary || "" })),
    form);
}

function show(api) {
  byId("description").textContent = `${api.info.version}\n${api.info.description || ""}`;
  const sections = (api.tags || []).map((tag) => {
    const section = element("section", {},
      element("h2", { textContent: tag.name }),
      element("p", { className: "note", textContent: tag.description || "" }));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if ((operation.tags || [])[0] === tag.name) section.append(operationElement(api, path, method, operation));
      }
    }
    return section;
  });
  byId("operations").replaceChildren(...sections);
}

function filter() {
  const wanted = byId("filter").value.toLowerCase();
  for (const operation of document.querySelectorAll(".operation")) {
    operation.hidden = !operation.firstChild.textContent.toLowerCase().includes(wanted);
  }
  for (const section of document.querySelectorAll("section")) {
    section.hidden = !section.querySelector(".operation:not([hidden])");
  }
}

async function start() {
  byId("filter").addEventListener("input", filter);
  try {
    show(await (await fetch("/openapi.json")).json());
  } catch (error) {
    byId("operations").textContent = `The description of the API cannot be read: ${error}`;
  }
}

start();
