"use strict";
// The cards of the videos that have a page, and a bar for the score of every video.

const facts = JSON.parse(document.getElementById("facts").textContent);
const element = (id) => document.getElementById(id);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const scored = facts.cards.filter((card) => card.score !== null);
const shown = facts.cards.filter((card) => card.page !== null);

function make(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function addFigure(name, value) {
  const pair = document.createElement("div");
  pair.append(make("dt", "", name), make("dd", "", value));
  element("figures").append(pair);
}

function drawBars() {
  element("all-scores").hidden = scored.length < 6; // fewer are read off their cards
  for (const card of [...scored].sort((a, b) => a.score - b.score)) {
    const bar = document.createElement(card.page ? "a" : "span");
    if (card.page) bar.href = card.page;
    bar.title = `${card.name}: ${card.score.toFixed(3)}`;
    if (card.page) bar.setAttribute("aria-label", bar.title);
    bar.style.setProperty("--score", card.score);
    element("bars").append(bar);
  }
  if (scored.length <= 100) element("bars").style.setProperty("--gap", "1px");
  const without = facts.cards.length - shown.length;
  element("bars-note").textContent = without
    ? `${plural(scored.length, "video")}, from the worst to the best; the ${shown.length} in color have a page.`
    : `${plural(scored.length, "video")}, from the worst to the best.`;
}

function makeCard(card) {
  const item = document.createElement("li"), link = make("a", "card");
  link.href = card.page;
  const pictures = make("div", "pictures");
  card.pictures.forEach((address, number) => {
    const figure = document.createElement("figure"), picture = document.createElement("img");
    picture.src = address;
    picture.alt = "";
    figure.append(picture, make("figcaption", "", number ? "truth" : "predicted"));
    pictures.append(figure);
  });
  const head = make("div", "card-head");
  head.append(make("span", "name", card.name));
  if (card.score !== null) head.append(make("span", "score", card.score.toFixed(2)));
  link.append(pictures, head);
  if (card.score !== null) {
    const gauge = make("div", "gauge");
    gauge.style.setProperty("--score", card.score);
    link.append(gauge);
  }
  const found = card.num_objects ? `${card.num_found} of ${plural(card.num_objects, "object")} found, ` : "";
  link.append(make("div", "quiet small", found + plural(card.num_predictions, "prediction")));
  item.append(link);
  return item;
}

const ORDERS = {
  worst: (a, b) => (a.score ?? 2) - (b.score ?? 2),
  best: (a, b) => (b.score ?? -1) - (a.score ?? -1),
  name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
};

function sortCards() {
  element("cards").replaceChildren(...[...shown].sort(ORDERS[element("order").value]).map(makeCard));
}

for (const [name, value] of Object.entries(facts.figures)) addFigure(name, value < 0 ? "-" : value.toFixed(3));
const sum = (key) => facts.cards.reduce((total, card) => total + card[key], 0);
if (sum("num_objects")) addFigure("objects found", `${sum("num_found")} of ${sum("num_objects")}`);
addFigure("videos", facts.cards.length.toLocaleString("en"));
element("description").textContent = facts.description;
const half = Math.ceil(shown.length / 2);
element("shown").textContent =
  shown.length === facts.cards.length ? plural(shown.length, "video")
  : !scored.length ? `The first ${shown.length} of ${plural(facts.cards.length, "video")}`
  : `The worst ${half}${shown.length > half ? ` and the best ${shown.length - half}` : ""} of ${plural(facts.cards.length, "video")}`;
element("order").addEventListener("change", sortCards);
element("order-row").hidden = shown.length < 2 || !scored.length;
for (const note of facts.notes) element("notes").append(make("li", "", note));
drawBars();
sortCards();
