"use strict";
// Sorts a table by the column whose heading is pressed, and shows the methods whose name holds what is typed.
const collator = new Intl.Collator(undefined, { numeric: true });

function read(row, column) {
  const text = row.cells[column].textContent.trim();
  const found = text.replace(/,/g, "").match(/^[+\-−]?(\d+\.?\d*|\.\d+)(e[+\-]?\d+)?/i);
  return { text, number: found ? Number(found[0].replace("−", "-")) : text === "inf" ? Infinity : text === "-inf" ? -Infinity : NaN };
}

function order(head, wanted) {
  const table = head.closest("table"), body = table.tBodies[0];
  for (const other of table.tHead.querySelectorAll("th")) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", wanted);
  const sign = wanted === "ascending" ? 1 : -1;
  const rows = Array.from(body.rows, (row) => ({ row, ...read(row, head.cellIndex) }));
  const numeric = rows.every((entry) => entry.row.cells[head.cellIndex].classList.contains("number"));
  rows.sort((a, b) => {
    if (!numeric) return sign * collator.compare(a.text, b.text);
    const lacks = Number.isNaN(a.number) - Number.isNaN(b.number); // rows without a number stay last
    return lacks || (Number.isNaN(a.number) ? 0 : sign * (a.number < b.number ? -1 : Number(a.number > b.number)));
  });
  body.append(...rows.map((entry) => entry.row));
}

function press(head) {
  const first = head.textContent.includes("↑") ? "descending" : "ascending"; // the best comes first
  const second = first === "ascending" ? "descending" : "ascending";
  order(head, head.getAttribute("aria-sort") === first ? second : first);
}

function filter(wanted) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  for (const row of document.querySelectorAll("tbody tr")) {
    const name = row.cells[0].textContent.toLowerCase();
    row.hidden = !words.every((word) => name.includes(word));
    all += 1;
    shown += Number(!row.hidden);
  }
  document.getElementById("shown").textContent = words.length ? `${shown} of ${all} rows of all tables` : "";
}

for (const button of document.querySelectorAll("thead button")) button.addEventListener("click", () => press(button.closest("th")));
const box = document.getElementById("wanted");
box.addEventListener("input", () => filter(box.value));
filter(box.value);

// What is folded is printed too, and folded again.
let opened = [];
addEventListener("beforeprint", () => {
  opened = Array.from(document.querySelectorAll("details:not([open])"));
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => { for (const part of opened) part.open = false; });

// A page that is watched is loaded again and again: it goes on as it was left.
function left() {
  const heads = Array.from(document.querySelectorAll("thead th"));
  const sorted = heads.flatMap((head, place) => (head.ariaSort === "none" ? [] : [[place, head.ariaSort]]));
  const open = Array.from(document.querySelectorAll("details"), (part) => part.open);
  return { wanted: box.value, sorted, open, top: scrollY };
}

function goOn(state) {
  const heads = document.querySelectorAll("thead th"), parts = document.querySelectorAll("details");
  for (const [place, wanted] of state.sorted) if (heads[place]) order(heads[place], wanted);
  state.open.forEach((open, place) => { if (parts[place]) parts[place].open = open; });
  box.value = state.wanted;
  filter(box.value);
  scrollTo({ top: state.top, behavior: "instant" });
}

if (document.querySelector("meta[http-equiv=refresh]")) {
  try {
    const state = JSON.parse(sessionStorage.getItem(location.pathname) ?? "null");
    if (state) goOn(state);
    addEventListener("pagehide", () => sessionStorage.setItem(location.pathname, JSON.stringify(left())));
  } catch { /* a browser that stores nothing begins anew */ }
}
