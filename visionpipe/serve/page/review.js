"use strict";
// Everything that comes from a file, a model or a person is set as text, never as HTML.
(async () => {
  const PAGE = 60, KEPT = 5, FILTERS = ["text", "path", "outcome", "reviewed", "note", "job", "prompt", "model", "tag", "sort"], EVERY = "all";
  const find = (id) => document.getElementById(id);
  const query = new URLSearchParams(location.search);
  const filter = () => Object.fromEntries(FILTERS.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
  // The first page is asked for before anything else, and what counts all items only behind it.
  let early = fetch(`/items?${new URLSearchParams({ ...filter(), most: PAGE })}`);
  const all = await (await fetch("/page/words.json")).json();
  const lang = query.get("lang") || (navigator.language.startsWith("zh") ? "zh" : "en");
  const words = { ...all.en, ...(all[lang] || {}) };
  const number = (value) => value.toLocaleString(lang);
  const say = (key, values = {}) => (words[key] || key.replaceAll("_", " ")).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

  let job = {}, held = false, shown = 0;
  const selected = new Set();

  // ---------------------------------------------------------------- small things
  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined && text !== null) element.textContent = text;
    return element;
  }
  function button(text, className, work) {
    const element = make("button", className, text);
    element.type = "button";
    element.addEventListener("click", work);
    return element;
  }
  let toasted = 0;
  function toast(text) {
    const box = find("toast");
    box.textContent = text;
    if (box.matches(":popover-open")) box.hidePopover();
    box.showPopover();
    clearTimeout(toasted);
    toasted = setTimeout(() => box.hidePopover(), 4000);
  }
  async function get(address, values) {
    const answer = await (address === "/items" && early || fetch(`${address}?${new URLSearchParams(values)}`));
    if (address === "/items") early = null;
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error.message);
    return body;
  }
  async function post(name, body) {
    const answer = await fetch(`/do/${name}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
    const found = await answer.json();
    if (!answer.ok) {
      if (answer.status === 409) hold(true);
      toast(found.error.message);
      throw new Error(found.error.message);
    }
    return found;
  }
  const quietly = (promise) => promise.catch((error) => toast(error.message));
  const picture = (item, size) => `/picture?${new URLSearchParams({ source: item.source, size, seen: item.seen })}`;
  const side = () => query.get("job") === EVERY;
  const kindOf = (item) => job.kinds?.[item.job] || {};
  const split = (text) => [...new Set((text || "").split(/[,，、]/).map((one) => one.trim()).filter(Boolean))];
  function listOf(item) {
    const { tags, listed } = kindOf(item);
    if (listed) return split(item.caption);
    const found = tags && item.data && item.data[tags];
    return Array.isArray(found) ? found.filter((tag) => typeof tag === "string") : null;
  }
  function textOf(item) {
    if (item.outcome !== "done") return item.reason || "";
    if (!kindOf(item).schema || !item.data) return item.caption || "";
    if (listOf(item)) return listOf(item).join(", ");
    return Object.values(item.data).filter((value) => typeof value === "string").join(" · ") || JSON.stringify(item.data);
  }

  // ---------------------------------------------------------------- pages of the grid, a few of them in the document
  // cursors[n] is where page n begins; heights[n] what it took when it was last drawn.
  let cursors, heights, drawn, loading, round = 0;
  const spacer = (from, to) => heights.slice(from, to).reduce((sum, height) => sum + height, 0);
  const items = () => drawn.flatMap((page) => page.items);

  async function restart() {
    round += 1;
    cursors = [null]; heights = []; drawn = []; loading = null;
    find("pages").replaceChildren();
    find("above").style.height = find("below").style.height = "0px";
    scrollTo(0, 0);
    await load(0);
    if (!drawn.length) return;
    if (round === 1) requestAnimationFrame(() => performance.mark("first page"));
    find("none").hidden = drawn[0].items.length > 0;
    find("none").textContent = say("nothing");
    fill();
    quietly(count());
  }
  async function count() {
    const asked = round, found = await get("/count", filter());
    if (asked !== round) return;
    shown = found.count;
    find("count").textContent = say("items_count", { count: number(shown) });
  }
  async function load(index) {
    if (loading) return loading;
    const asked = round;
    loading = (async () => {
      const values = { ...filter(), most: PAGE };
      if (cursors[index] !== null) values.after = cursors[index];
      const found = await get("/items", values);
      if (asked !== round) return;
      cursors[index + 1] = found.after;
      const page = { index, items: found.items, element: make("div", side() ? "page side" : "page") };
      page.element.append(...found.items.map(card));
      const first = !drawn.length || index > drawn.at(-1).index;
      if (first) { drawn.push(page); find("pages").append(page.element); }
      else { drawn.unshift(page); find("pages").prepend(page.element); }
      if (drawn.length > KEPT) {
        const gone = first ? drawn.shift() : drawn.pop();
        heights[gone.index] = gone.element.getBoundingClientRect().height + 18;
        // A picture that still waits to be loaded would keep the whole page in memory.
        for (const image of gone.element.querySelectorAll("img")) image.removeAttribute("src");
        gone.element.remove();
      }
      find("above").style.height = `${spacer(0, drawn[0].index)}px`;
      find("below").style.height = `${spacer(drawn.at(-1).index + 1)}px`;
    })();
    try { await loading; } finally { if (asked === round) loading = null; }
  }
  const after = () => drawn.length && cursors[drawn.at(-1).index + 1] ? drawn.at(-1).index + 1 : -1;
  const before = () => (drawn.length ? drawn[0].index - 1 : -1);
  async function fill() {
    const asked = round;
    while (asked === round) {
      const below = find("below").getBoundingClientRect().top, above = find("above").getBoundingClientRect().bottom;
      if (below < innerHeight + 1200 && after() >= 0) await load(after());
      else if (above > -1200 && before() >= 0) await load(before());
      else break;
    }
  }
  addEventListener("scroll", () => quietly(fill()), { passive: true });
  addEventListener("resize", () => quietly(fill()));

  function badges(item, row) {
    if (item.edited) row.append(make("span", "edited", say("edited_by", { who: item.who })));
    if (item.earlier) row.append(make("span", "", say("note_earlier_picture")));
    if (item.local) row.append(make("span", "plain", say("local")));
    else if (item.model && !(side() && item.answers)) row.append(make("span", "plain", item.model));
    if (item.duplicate_of) row.append(make("span", "plain", say("same_as", { source: item.duplicate_of })));
    for (const [kind, detail] of item.notes || []) {
      if (["edited", "accepted", "rejected", "earlier_picture"].includes(kind) || (item.local && kind === "local")) continue;
      const note = make("span", "", say(`note_${kind}`) === `note ${kind.replaceAll("_", " ")}` ? kind.replaceAll("_", " ") : say(`note_${kind}`));
      note.title = detail;
      row.append(note);
    }
    return row;
  }
  function card(item) {
    const article = make("article", `${item.outcome} ${item.verdict || ""}`);
    article.dataset.source = item.source;
    const open = button("", "picture", () => quietly(show(item)));
    open.setAttribute("aria-label", say("open_item", { source: item.source }));
    if (item.seen) {
      const image = make("img");
      image.alt = "";
      image.loading = "lazy";
      image.decoding = "async";
      image.src = picture(item, "small");
      image.addEventListener("error", () => { open.textContent = say("no_preview"); });
      open.append(image);
    } else open.textContent = say("no_preview");
    const tick = make("input", "tick");
    tick.type = "checkbox";
    tick.checked = selected.has(item.source);
    tick.setAttribute("aria-label", say("select_item", { source: item.source }));
    tick.addEventListener("change", () => { mark(item.source, tick.checked); });
    const text = make("div", "text"), name = make("div", "name");
    name.title = item.source;
    name.append(make("bdi", "", item.source));
    const answers = side() ? item.answers || [] : [];
    text.append(name);
    if (!answers.length || item.edited) text.append(make("p", "caption", textOf(item)));
    if (answers.length) text.append(columns(item, answers));
    text.append(badges(item, make("div", "notes")));
    article.append(open, tick, text);
    if (item.verdict) article.append(make("span", `verdict ${item.verdict}`, say(item.verdict)));
    article.addEventListener("focusin", () => point(item.source));
    return article;
  }
  // What stands: the text that a person took or wrote, else, where it was accepted, the last job's.
  const isChosen = (item, answer) => item.caption === answer.caption && (item.edited || (item.verdict === "accepted" && answer.shown));
  // Every answer about one image side by side, each with its number as the key that chooses it.
  function columns(item, answers) {
    const row = make("div", "answers");
    row.append(...answers.map((one, place) => {
      const column = make("div", isChosen(item, one) ? "answer chosen" : "answer");
      column.append(make("small", "", `${one.model || ""} · ${brief(one.prompt)}`), make("p", "caption", one.data ? textOf({ ...one, outcome: "done" }) : one.caption));
      column.append(taking(item, one, place));
      return column;
    }));
    return row;
  }
  const brief = (text) => (text.length > 90 ? `${text.slice(0, 90)}…` : text);
  function taking(item, answer, place) {
    const chosen = isChosen(item, answer);
    const take = button(say(chosen ? "chosen" : "choose"), chosen ? "good" : "edits", () => quietly(choose(item, answer)));
    take.disabled = chosen || held;
    if (!chosen && place < 9) take.append(" ", make("kbd", "", String(place + 1)));
    return take;
  }
  function redraw(item) {
    for (const page of drawn) {
      const place = page.items.findIndex((one) => one.source === item.source);
      if (place < 0) continue;
      page.items[place] = item;
      const old = page.element.children[place], fresh = card(item);
      fresh.classList.toggle("current", old.classList.contains("current"));
      const focused = old.contains(document.activeElement);
      old.replaceWith(fresh);
      if (focused) fresh.querySelector(".picture").focus({ preventScroll: true });
    }
    if (current && current.source === item.source) current = { ...current, ...item };
  }
  async function refresh(sources) {
    const seen = items().filter((item) => sources.includes(item.source));
    for (const item of seen.slice(0, 40)) redraw(await get("/item", { ...filter(), source: item.source }));
    if (current && sources.includes(current.source) && find("single").open) await show(current, false);
  }

  // ---------------------------------------------------------------- the current item, and what is selected
  let current = null;
  const cardOf = (source) => [...document.querySelectorAll("article")].find((one) => one.dataset.source === source);
  function point(source) {
    for (const one of document.querySelectorAll("article.current")) one.classList.remove("current");
    cardOf(source)?.classList.add("current");
    current = items().find((item) => item.source === source) || current;
  }
  async function move(step) {
    const known = items(), place = current ? known.findIndex((item) => item.source === current.source) : -1;
    let next = place + step;
    if (place < 0) next = 0;
    if (next >= known.length && after() >= 0) { await load(after()); return move(step); }
    if (next < 0 && before() >= 0) { await load(before()); return move(step); }
    const item = items()[next];
    if (!item) { toast(say(step > 0 ? "last" : "first")); return; }
    const element = cardOf(item.source);
    element?.scrollIntoView({ block: "nearest" });
    if (find("single").open) { point(item.source); await show(item); }
    else element?.querySelector(".picture").focus({ preventScroll: true });
  }
  function mark(source, on) {
    if (on) selected.add(source); else selected.delete(source);
    const tick = cardOf(source)?.querySelector(".tick");
    if (tick) tick.checked = on;
    everything = false;
    tally();
  }
  let everything = false;
  function tally() {
    const many = everything ? shown : selected.size;
    find("selection").hidden = !many;
    find("selected").textContent = say("selected_count", { count: number(many) });
    find("select-all").textContent = say("select_all", { count: number(shown) });
    find("select-all").hidden = everything;
  }
  const scope = () => (everything ? null : [...selected]);
  const scopeText = () => say("scope", { count: number(everything ? shown : selected.size) });

  // ---------------------------------------------------------------- one item alone
  let saved = null;
  async function show(item, pointing = true) {
    await save();
    if (pointing) point(item.source);
    const whole = await get("/item", { ...filter(), source: item.source });
    paint(whole);
    edit(whole);
    if (!find("single").open) find("single").showModal();
    lock();
  }
  function paint(whole) {
    current = whole;
    find("single-path").textContent = whole.source;
    const image = find("single-picture");
    image.hidden = !whole.seen;
    find("single-blank").hidden = Boolean(whole.seen);
    image.alt = whole.caption || whole.source;
    if (whole.seen) image.src = picture(whole, "large"); else image.removeAttribute("src");
    for (const [id, verdict] of [["accept", "accepted"], ["reject", "rejected"]]) find(id).setAttribute("aria-pressed", String(whole.verdict === verdict));
    find("single-state").replaceChildren();
    badges(whole, find("single-state"));
    for (const text of whole.adjustments || []) find("single-state").append(make("span", "plain", text));
    if (whole.cost) find("single-state").append(make("span", "plain", whole.cost));
    find("single-reason").hidden = whole.outcome === "done";
    find("single-reason").textContent = [whole.reason, whole.cure].filter(Boolean).join(" ");
    find("changed").hidden = !whole.changed;
    find("earlier").hidden = !whole.earlier;
    if (whole.earlier) {
      find("earlier-words").textContent = say("earlier_by", { who: whole.earlier.who, when: new Date(whole.earlier.at * 1000).toLocaleString(lang) });
      find("earlier-text").textContent = whole.earlier.caption;
    }
    find("said").hidden = !whole.edited;
    find("said-text").textContent = whole.said || "";
    const answers = whole.answers;
    find("answers").hidden = answers.length < 2;
    find("answer-list").replaceChildren(...answers.map((one, place) => {
      const line = make("li");
      line.append(make("span", "", one.caption), make("small", "", `${one.model || ""} · ${brief(one.prompt)}`), taking(whole, one, place));
      return line;
    }));
    find("past").hidden = !whole.history.length;
    find("history").replaceChildren(...whole.history.map((step) => {
      const line = make("li"), when = new Date(step.at * 1000);
      line.append(make("b", "", `${say(`step_${step.kind}`)} · ${step.who} · `), make("time", "", when.toLocaleString(lang)));
      line.lastChild.dateTime = when.toISOString();
      if (step.earlier) line.append(" · ", make("span", "", say("of_earlier_picture")));
      if (step.field !== "verdict") { line.append(make("br"), make("del", "", step.before ?? say("models_own")), " → ", make("ins", "", step.after ?? say("models_own"))); }
      return line;
    }));
  }
  function labelled(name, control, description) {
    const label = make("label"), text = make("span", "", name);
    if (description) text.title = description;
    label.append(text, control);
    return label;
  }
  // A control for a value of a schema, and how its value is read; what is neither text, number, truth, choice nor
  // list of texts is edited as JSON.
  function control(name, shape, value) {
    const kinds = [shape.type].flat(), may = kinds.includes("null");
    if (Array.isArray(shape.enum)) {
      const select = make("select");
      for (const one of shape.enum) { const option = make("option", "", String(one)); option.value = JSON.stringify(one); select.append(option); }
      select.value = JSON.stringify(value ?? null);
      return [labelled(name, select, shape.description), () => JSON.parse(select.value || "null")];
    }
    if (kinds.includes("array") && shape.items && shape.items.type === "string") return chips(name, Array.isArray(value) ? value : []);
    if (kinds.includes("boolean")) {
      const box = make("input");
      box.type = "checkbox"; box.checked = value === true;
      const label = make("label", "check");
      label.append(box, make("span", "", name));
      return [label, () => box.checked];
    }
    if (kinds.includes("string")) {
      const area = make("textarea");
      area.rows = Math.min(8, Math.max(1, Math.ceil(String(value ?? "").length / 42)));
      area.value = value ?? "";
      return [labelled(name, area, shape.description), () => (area.value === "" && may ? null : area.value)];
    }
    if (kinds.includes("number") || kinds.includes("integer")) {
      const input = make("input");
      input.type = "number"; input.step = kinds.includes("integer") ? "1" : "any"; input.value = value ?? "";
      return [labelled(name, input, shape.description), () => (input.value === "" ? null : Number(input.value))];
    }
    const area = make("textarea");
    area.rows = 5;
    area.value = JSON.stringify(value ?? null, null, 2);
    return [labelled(`${name} (JSON)`, area, shape.description), () => JSON.parse(area.value)];
  }
  function chips(name, value) {
    const box = make("fieldset"), list = [...value], input = make("input");
    box.append(make("legend", "", name));
    input.setAttribute("aria-label", say("add_to", { name }));
    input.placeholder = say("add");
    const counts = new Map((job.facets?.tag || []));
    function draw() {
      for (const chip of [...box.querySelectorAll(".chip")]) chip.remove();
      list.forEach((tag, place) => {
        const chip = make("span", "chip", tag);
        if (counts.has(tag)) chip.append(make("small", "", number(counts.get(tag))));
        const away = button("✕", "edits", () => { list.splice(place, 1); draw(); changed(); });
        away.setAttribute("aria-label", say("remove_item", { name: tag }));
        chip.append(away);
        box.insertBefore(chip, input);
      });
    }
    function add() {
      const fresh = input.value.split(/[,，]/).map((one) => one.trim()).filter((one) => one && !list.includes(one));
      input.value = "";
      if (fresh.length) { list.push(...fresh); draw(); changed(); }
    }
    input.addEventListener("keydown", (event) => { if (event.key === "Enter" && input.value) { event.preventDefault(); event.stopPropagation(); add(); } });
    input.addEventListener("blur", add);
    box.append(input);
    draw();
    return [box, () => list.slice()];
  }
  let read = () => null;
  function changed() { quietly(save()); }
  function edit(item) {
    const form = find("editor");
    const { schema, listed } = kindOf(item);
    if (!schema && listed && item.outcome === "done") {
      const [element, value] = chips(say("tags"), split(item.caption));
      form.replaceChildren(element);
      read = () => value().join(", ");
    } else if (!schema) {
      const area = make("textarea");
      area.id = "caption-text"; area.rows = 5; area.value = item.outcome === "done" ? item.caption ?? "" : "";
      form.replaceChildren(labelled(say("caption"), area));
      read = () => area.value;
    } else if (schema.properties) {
      const fields = Object.entries(schema.properties).map(([name, shape]) => [name, ...control(name, shape, item.data?.[name])]);
      form.replaceChildren(...fields.map(([, element]) => element));
      read = () => ({ ...item.data, ...Object.fromEntries(fields.map(([name, , value]) => [name, value()])) });
    } else {
      const [element, value] = control("data", { description: schema.description }, item.data);
      form.replaceChildren(element);
      read = value;
    }
    saved = { job: item.job, source: item.source, value: JSON.stringify(read()) };
  }
  async function save() {
    if (!saved || held) return;
    let value;
    try { value = read(); } catch { toast(say("no_json")); throw new Error(say("no_json")); }
    if (JSON.stringify(value) === saved.value) return;
    const { source } = saved;
    await post("edit", { job: saved.job, source, value });
    saved = { ...saved, value: JSON.stringify(value) };
    const whole = await get("/item", { ...filter(), source });
    redraw(whole);
    if (find("single").open && current?.source === source) paint(whole);
    toast(say("saved"));
  }
  async function restore() {
    saved = null;
    await post("edit", { job: current.job, source: current.source, value: null });
    await refresh([current.source]);
  }
  async function useEarlier() {
    saved = null;
    const value = kindOf(current).schema ? current.earlier.data : current.earlier.caption;
    await post("edit", { job: current.job, source: current.source, value });
    await refresh([current.source]);
  }
  async function choose(item, answer) {
    if (held) return;
    saved = null;
    await post("choose", { job: answer.job, source: item.source, result: answer.result });
    await refresh([item.source]);
  }
  async function judge(verdict, onward = false) {
    if (held || !current) return;
    await save();
    const same = current.verdict === verdict && !onward;
    const source = current.source;
    await post("judge", { filter: filter(), sources: [source], verdict: same ? null : verdict });
    redraw(await get("/item", { ...filter(), source }));
    if (onward) await move(1);
    else if (find("single").open) await show(current, false);
  }
  async function undo() {
    if (held) return;
    saved = null;
    const found = await post("undo", {});
    toast(found.changes ? say("undone", { count: number(found.changes) }) : say("nothing_to_undo"));
    await refresh(found.sources);
    quietly(learn());
  }
  find("editor").addEventListener("submit", (event) => event.preventDefault());
  find("editor").addEventListener("change", changed);
  find("single").addEventListener("close", () => { quietly(save()); if (current) cardOf(current.source)?.querySelector(".picture").focus({ preventScroll: true }); });

  // ---------------------------------------------------------------- many at once
  function difference(before, after) {
    let start = 0, end = 0;
    while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
    while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
    const line = make("span");
    line.append(before.slice(0, start), make("del", "", before.slice(start, before.length - end)), make("ins", "", after.slice(start, after.length - end)), before.slice(before.length - end));
    return line;
  }
  const bulk = (dry) => post("bulk", { ...Object.fromEntries(new FormData(find("bulk-form"))), filter: filter(), sources: scope(), dry });
  let previewed = 0;
  async function preview() {
    const values = new FormData(find("bulk-form")), turn = (previewed += 1);
    find("bulk-apply").disabled = true;
    if (!values.get("find") && !values.get("prefix") && !values.get("suffix")) { find("bulk-preview").replaceChildren(); find("bulk-count").textContent = ""; return; }
    const found = await bulk(true);
    if (turn !== previewed) return;
    find("bulk-count").textContent = say("changes_count", { count: number(found.changes) });
    find("bulk-preview").replaceChildren(...found.shown.map((one) => { const line = make("li"); line.append(make("small", "soft", one.source), difference(one.before, one.after)); return line; }));
    find("bulk-apply").disabled = !found.changes || held;
  }
  let typing = 0;
  find("bulk-form").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => quietly(preview()), 200); });
  find("bulk-apply").addEventListener("click", () => quietly((async () => {
    const found = await bulk(false);
    find("bulk").close();
    toast(say("changed_count", { count: number(found.changes) }));
    await restart();
    await learn();
  })()));
  const judgeAll = (verdict, dry) => post("judge", { filter: filter(), sources: scope(), verdict, dry });
  let sure = "";
  async function judgeMany(verdict) {
    if (everything) {
      // What all have in common shows before it is done.
      const found = await judgeAll(verdict, true);
      sure = verdict;
      find("sure-title").textContent = say(verdict === "accepted" ? "accept" : "reject");
      find("sure-count").textContent = say(`sure_${verdict}`, { count: number(found.changes) });
      find("sure-preview").replaceChildren(...found.shown.map((one) => { const line = make("li"); line.append(make("small", "soft", one.source), make("span", "", one.before)); return line; }));
      find("sure-apply").disabled = !found.changes || held;
      openDialog("sure");
      return;
    }
    const sources = [...selected];
    await judgeAll(verdict, false);
    await refresh(sources);
    quietly(learn());
  }
  find("sure-apply").addEventListener("click", () => quietly((async () => {
    const found = await judgeAll(sure, false);
    find("sure").close();
    toast(say("judged_count", { count: number(found.changes) }));
    await restart();
    await learn();
  })()));
  function openDialog(id, scoped) {
    if (scoped) find(scoped).textContent = scopeText();
    find(id).showModal();
  }
  find("open-bulk").addEventListener("click", () => { find("bulk-form").reset(); find("bulk-preview").replaceChildren(); find("bulk-count").textContent = ""; find("bulk-apply").disabled = true; openDialog("bulk", "bulk-scope"); });
  find("open-ask").addEventListener("click", () => openDialog("ask", "ask-scope"));
  find("open-export").addEventListener("click", () => openDialog("export"));
  find("ask-start").addEventListener("click", () => quietly((async () => {
    await post("ask", { ...Object.fromEntries(new FormData(find("ask-form"))), filter: filter(), sources: scope() });
    find("ask").close();
    await watch();
  })()));
  find("export-start").addEventListener("click", () => quietly((async () => {
    const found = await post("export", { output: new FormData(find("export-form")).get("output"), job: job.job });
    find("export").close();
    toast(found.lines.join("\n"));
  })()));
  for (const one of document.querySelectorAll("dialog .cancel")) one.addEventListener("click", () => one.closest("dialog").close());
  find("accept-selected").addEventListener("click", () => quietly(judgeMany("accepted")));
  find("reject-selected").addEventListener("click", () => quietly(judgeMany("rejected")));
  find("select-none").addEventListener("click", () => { everything = false; for (const source of [...selected]) mark(source, false); tally(); });
  for (const id of ["select-all", "every"]) find(id).addEventListener("click", () => { everything = true; tally(); find("accept-selected").focus(); });

  // ---------------------------------------------------------------- filters, which are the address
  function options(select, list, value) {
    select.replaceChildren(...list.map(([one, text]) => { const option = make("option", "", text); option.value = one; return option; }));
    select.value = value;
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }
  const counted = (pairs, any, naming) => [["", any], ...pairs.map(([name, many]) => [name, `${naming(name)} (${number(many)})`])];
  async function learn() {
    job = await get("/job", filter());
    const facets = job.facets, sum = facets.outcome.reduce((total, [, many]) => total + many, 0);
    find("journal").textContent = job.journal;
    find("journal").title = job.journal;
    const outcomes = new Map(facets.outcome);
    find("outcomes").replaceChildren(...["", "done", "failed", "skipped"].map((one) => {
      const choice = button(say(one || "every"), "", () => set("outcome", one));
      choice.append(make("small", "", number(one ? outcomes.get(one) || 0 : sum)));
      choice.setAttribute("aria-pressed", String((query.get("outcome") || "") === one));
      return choice;
    }));
    const naming = (kind) => { const text = say(`note_${kind}`); return text.startsWith("note ") ? kind.replaceAll("_", " ") : text; };
    options(find("note"), counted(facets.note, say("any_note"), naming), query.get("note") || "");
    options(find("model"), counted(facets.model, say("any_model"), String), query.get("model") || "");
    const jobs = job.jobs.map((one) => [one.job, `${one.model} · ${one.prompt.slice(0, 40)} (${number(one.items)})`]);
    options(find("job"), [[EVERY, say("every_job")], ...jobs], job.job);
    find("job").hidden = job.jobs.length < 2;
    const prompts = new Map(job.jobs.map((one) => [one.job, one.prompt]));
    options(find("prompt"), counted(facets.prompt, say("any_prompt"), (key) => (prompts.get(key) || key).slice(0, 40)), query.get("prompt") || "");
    find("prompt").hidden = facets.prompt.length < 2;
    find("model").hidden = facets.model.length < 2;
    find("note").hidden = !facets.note.length;
    options(find("reviewed"), [["", say("any_review")], ...["no", "yes", "edited", "accepted", "rejected", "earlier"].map((one) => [one, say(`reviewed_${one}`)])], query.get("reviewed") || "");
    options(find("sort"), ["listed", "path", "newest", "shortest", "longest"].map((one) => [one, say(`sort_${one}`)]), query.get("sort") || "listed");
    find("tags").replaceChildren(...facets.tag.slice(0, 40).map(([tag, many]) => {
      const chip = button(tag, "chip", () => set("tag", query.get("tag") === tag ? "" : tag));
      chip.append(make("small", "", number(many)));
      chip.setAttribute("aria-pressed", String(query.get("tag") === tag));
      return chip;
    }));
    for (const name of ["text", "path"]) if (find(name) !== document.activeElement) find(name).value = query.get(name) || "";
  }
  function set(name, value) {
    if (value) query.set(name, value); else query.delete(name);
    if (name === "job") for (const other of ["tag", "model", "note", "prompt"]) query.delete(other);
    history.pushState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`);
    everything = false;
    selected.clear();
    tally();
    quietly(renew());
  }
  async function renew() { await restart(); await learn(); if (Object.values(job.kinds).some((kind) => kind.schema)) for (const item of items()) redraw(item); }
  for (const name of ["reviewed", "note", "job", "prompt", "model", "sort"]) find(name).addEventListener("change", () => set(name, find(name).value));
  let waiting = 0;
  for (const name of ["text", "path"]) find(name).addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => set(name, find(name).value.trim()), 250); });
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", () => location.reload());
  find("lang").value = lang;
  find("lang").addEventListener("change", () => { query.set("lang", find("lang").value); location.search = query; });

  // ---------------------------------------------------------------- a run that has the journal, and asking again
  function lock() {
    document.body.classList.toggle("held", held);
    for (const one of document.querySelectorAll("#editor input, #editor textarea, #editor select, #editor button, #accept, #reject, #restore, #use-earlier, #undo, #accept-selected, #reject-selected, #open-ask, .edits")) one.disabled = held;
  }
  function hold(on) { if (held !== on) { held = on; lock(); if (!on) quietly(renew()); } }
  let asking = false, fresh = null;
  async function watch() {
    const state = await get("/state", {});
    const now = Boolean(state.asking && !state.asking.ended);
    hold(state.held);
    const banner = find("banner");
    banner.hidden = !held && !now && !state.trouble;
    banner.textContent = now ? say("asking", { done: number(state.asking.done), total: number(state.asking.total) }) : held ? say("held") : state.trouble;
    find("open-ask").hidden = state.asking === undefined;
    find("open-export").hidden = !state.exports;
    if (asking && !now) { toast(state.asking.error || say("asked", { done: number(state.asking.done) })); if (current && find("single").open) await show(current, false); await learn(); }
    asking = now;
    if (state.fresh !== fresh) {
      if (fresh !== null) { quietly(learn()); quietly(count()); }
      fresh = state.fresh;
    }
    const presets = find("ask-form").elements.preset;
    if (!presets.options.length && state.presets) options(presets, [["", say("same_prompt")], ...state.presets.map((name) => [name, name])], "");
  }
  const tick = async () => {
    if (!document.hidden) { try { await watch(); } catch { find("banner").hidden = false; find("banner").textContent = say("gone"); } }
    setTimeout(tick, asking ? 500 : 3000);
  };

  // ---------------------------------------------------------------- keys
  const KEYS = [["J", "key_next"], ["K", "key_previous"], ["Enter", "key_open"], ["E", "key_edit"], ["A", "key_accept"], ["R", "key_reject"], ["1–9", "key_choose"], ["X", "key_select"], ["U", "key_undo"], ["/", "key_search"], ["Esc", "key_leave"], ["?", "key_help"]];
  find("keys").replaceChildren(...KEYS.flatMap(([key, text]) => { const term = make("dt"); term.append(make("kbd", "", key)); return [term, make("dd", "", say(text))]; }));
  const typingIn = (element) => element && element.matches("input:not([type=checkbox]), textarea, select");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter" && find("single").open) { event.preventDefault(); quietly(save().then(() => move(1))); return; }
    if (typingIn(document.activeElement)) {
      if (event.key === "Escape" && find("single").open) { event.preventDefault(); document.activeElement.blur(); find("next").focus(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const other = document.querySelector("dialog[open]:not(#single)");
    if (other) return;
    const single = find("single").open;
    const work = {
      j: () => move(1), k: () => move(-1), a: () => judge("accepted", true), r: () => judge("rejected", true), u: undo,
      e: async () => { if (!current) await move(1); if (!single) await show(current); find("editor").querySelector("textarea, input, select")?.focus(); },
      x: () => { if (current) mark(current.source, !selected.has(current.source)); },
      "?": () => find("help").showModal(), "/": () => { if (!single) find("text").focus(); },
    }[event.key.toLowerCase()] || (/^[1-9]$/.test(event.key) && current?.answers?.[event.key - 1] && (() => choose(current, current.answers[event.key - 1])));
    if (!work) return;
    event.preventDefault();
    quietly(Promise.resolve(work()));
  });
  find("previous").addEventListener("click", () => quietly(move(-1)));
  find("next").addEventListener("click", () => quietly(move(1)));
  find("accept").addEventListener("click", () => quietly(judge("accepted")));
  find("reject").addEventListener("click", () => quietly(judge("rejected")));
  find("restore").addEventListener("click", () => quietly(restore()));
  find("use-earlier").addEventListener("click", () => quietly(useEarlier()));
  find("close").addEventListener("click", () => find("single").close());
  find("undo").addEventListener("click", () => quietly(undo()));
  find("open-help").addEventListener("click", () => find("help").showModal());

  // ---------------------------------------------------------------- begin
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  for (const element of document.querySelectorAll("[data-l]")) element.setAttribute("aria-label", say(element.dataset.l));
  for (const element of document.querySelectorAll("[data-p]")) element.placeholder = say(element.dataset.p);
  await quietly(renew());
  tally();
  tick();
})();
