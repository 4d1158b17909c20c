"use strict";
// Everything that comes from a file or a model is set as text, never as HTML.
(() => {
  const items = document.getElementById("items").textContent.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const find = (id) => document.getElementById(id);
  const grid = find("grid"), search = find("search"), notes = find("notes"), end = find("end");
  const outcomes = [...document.querySelectorAll(".outcomes button")];
  const PAGE = 60;
  let outcome = "all", shown = [], drawn = 0, words = [];

  for (const item of items) {
    const parts = [item.path, item.caption, item.reason, item.model, ...item.notes.flat(), item.local ? "local analysis" : ""];
    item.haystack = parts.filter(Boolean).join("\n").toLowerCase();
  }

  const tally = (values) => values.reduce((sums, value) => sums.set(value, (sums.get(value) || 0) + 1), new Map());
  const byOutcome = tally(items.map((item) => item.outcome));
  for (const button of outcomes) {
    const count = button.value === "all" ? items.length : byOutcome.get(button.value) || 0;
    button.append(make("small", "", count.toLocaleString("en")));
  }
  const kinds = tally(items.flatMap((item) => [...new Set(item.notes.map(([kind]) => kind))]));
  for (const [kind, count] of [...kinds].sort((a, b) => b[1] - a[1])) {
    const option = make("option", "", `${kind.replaceAll("_", " ")} (${count.toLocaleString("en")})`);
    option.value = kind;
    notes.append(option);
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function marked(tag, className, text) {
    const element = make(tag, className);
    const lower = text.toLowerCase();
    let position = 0;
    while (words.length && lower.length === text.length) {
      let start = -1, length = 0;
      for (const word of words) {
        const found = lower.indexOf(word, position);
        if (found >= 0 && (start < 0 || found < start)) { start = found; length = word.length; }
      }
      if (start < 0) break;
      element.append(text.slice(position, start), make("mark", "", text.slice(start, start + length)));
      position = start + length;
    }
    element.append(text.slice(position));
    return element;
  }

  function card(item) {
    const article = make("article", item.outcome);
    const picture = make(item.link ? "a" : "div", "picture");
    if (item.link) { picture.href = item.link; picture.target = "_blank"; picture.rel = "noopener"; }
    if (item.thumbnail) {
      const image = make("img");
      image.alt = item.caption || item.path;
      image.decoding = "async";
      image.src = item.thumbnail;
      picture.append(image);
    } else {
      picture.textContent = "no preview";
    }
    const text = make("div", "text");
    const path = make("div", "path");
    path.title = item.path;
    path.append(marked("bdi", "", item.path));
    const caption = marked("p", "caption", item.caption || item.reason || "");
    if (caption.textContent.length > 420 || caption.textContent.split("\n").length > 7) {
      caption.classList.add("long");
      caption.title = "Click to read all";
      caption.addEventListener("click", () => caption.classList.toggle("long"));
    }
    text.append(path, caption);
    if (item.cure) text.append(make("p", "cure", item.cure));
    const row = make("div", "notes");
    if (item.local) row.append(make("span", "plain", "local analysis"));
    else if (item.model) row.append(make("span", "plain", item.model));
    if (item.duplicate_of) row.append(make("span", "plain", "same as " + item.duplicate_of));
    for (const [kind, detail] of item.notes) {
      if (item.local && kind === "local") continue;  // said by the label already
      const note = make("span", "", kind.replaceAll("_", " "));
      note.title = detail;
      row.append(note);
    }
    if (row.childElementCount) text.append(row);
    article.append(picture, text);
    return article;
  }

  function draw() {
    grid.append(...shown.slice(drawn, drawn + PAGE).map(card));
    drawn = Math.min(drawn + PAGE, shown.length);
    // The observer speaks only when the end comes into view, so look again while it has not left it.
    if (drawn < shown.length && end.getBoundingClientRect().top < innerHeight + 800) requestAnimationFrame(draw);
  }

  function filter() {
    words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = items.filter((item) =>
      (outcome === "all" || item.outcome === outcome) &&
      (!notes.value || item.notes.some(([kind]) => kind === notes.value)) &&
      words.every((word) => item.haystack.includes(word)));
    const all = items.length.toLocaleString("en");
    find("count").textContent = shown.length === items.length ? `${all} items` : `${shown.length.toLocaleString("en")} of ${all} items`;
    grid.replaceChildren();
    drawn = 0;
    if (shown.length) draw();
    else grid.append(make("p", "none", items.length ? "Nothing matches." : "There are no items."));
  }

  let waiting = 0;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  notes.addEventListener("change", filter);
  for (const button of outcomes) {
    button.addEventListener("click", () => {
      outcome = button.value;
      for (const other of outcomes) other.setAttribute("aria-pressed", String(other === button));
      filter();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting && drawn < shown.length) draw(); }, { rootMargin: "800px" }).observe(end);
  notes.hidden = !kinds.size;
  filter();
})();
