"use strict";
// What the page shows and how it answers: time, tracks, and what is drawn of them.

const element = (id) => document.getElementById(id);
const tracks = facts.tracks;
const indices = [...tracks.keys()].sort((a, b) => (tracks[b].score ?? 0) - (tracks[a].score ?? 0));
const predicted = indices.filter((track) => !tracks[track].truth);
const truth = indices.filter((track) => tracks[track].truth).sort((a, b) => tracks[a].id - tracks[b].id);

const frames = new Frames(facts.size[0]);
const view = { visible: new Set(), followed: null, masks: true, outlines: true, names: true, boxes: false };
const stages = [new Stage(element("predicted"), predicted, truth.length ? "The video with its predicted tracks" : "The video with its tracks")];
const rows = new Map(); // index of a track -> its button in the list
let index = 0, wanted = 0, playing = false;

// Time

async function show(next) {
  wanted = index = Math.max(0, Math.min(frames.length - 1, next));
  const asked = index;
  const frame = await frames.get(asked);
  if (wanted !== asked) return;
  for (const stage of stages) stage.draw(frame, view);
  document.body.dataset.frame = frame.number;
  element("scrub").value = asked;
  const seconds = frame.number / facts.framesPerSecond;
  const clock = `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  element("scrub").setAttribute("aria-valuetext", `frame ${frame.number}, ${clock}`);
  element("clock").textContent = `${clock} · `;
  element("number").textContent = `frame ${frame.number} / ${facts.numFrames - 1}`;
  element("lists").style.setProperty("--now", (frame.number + 0.5) / facts.numFrames);
  for (const [track, row] of rows) row.classList.toggle("present", isPresent(track, frame.number));
  for (let ahead = 1; ahead <= 6; ahead++) if (asked + ahead < frames.length) frames.get(asked + ahead);
}

function isPresent(track, number) {
  return tracks[track].spans.some(([start, length]) => start <= number && number < start + length);
}

function play(go) {
  if (playing === go) return;
  playing = go;
  document.body.classList.toggle("playing", go);
  element("play").setAttribute("aria-label", go ? "Pause" : "Play");
  if (!go) return;
  if (index === frames.length - 1) show(0);
  let before = performance.now(), due = 0, busy = false;
  const tick = async (now) => {
    if (!playing) return;
    requestAnimationFrame(tick);
    due += ((now - before) * facts.framesPerSecond * element("speed").value) / facts.stride / 1000;
    before = now;
    if (busy || due < 1) return;
    // A picture that comes late is waited for, and the time it took is skipped.
    busy = true;
    const steps = Math.min(Math.floor(due), 8);
    due %= 1;
    await show(index + steps < frames.length ? index + steps : 0);
    busy = false;
  };
  requestAnimationFrame(tick);
}

function step(by) {
  play(false);
  show(index + by);
}

// Tracks

function redraw() {
  for (const stage of stages) stage.draw(stage.frame, view);
}

/** Show one object alone (null: all again); jumps to where it is first seen if it is not in this frame. */
function follow(id) {
  view.followed = id;
  document.body.classList.toggle("following", id !== null);
  element("all").hidden = id === null;
  for (const [track, row] of rows) row.setAttribute("aria-pressed", tracks[track].id === id);
  redraw();
  if (id === null) return;
  const same = indices.filter((track) => tracks[track].id === id && tracks[track].spans.length);
  element("said").textContent = same.length ? `Following ${tracks[same[0]].category} ${id}` : "";
  const number = Number(document.body.dataset.frame ?? 0);
  if (!same.length || same.some((track) => isPresent(track, number))) return;
  const first = Math.min(...same.map((track) => tracks[track].spans[0][0]));
  show(Math.ceil(first / facts.stride));
}

function filter() {
  const threshold = Number(element("threshold").value);
  element("threshold-value").textContent = threshold.toFixed(2);
  view.visible = new Set(indices.filter((track) => (tracks[track].score ?? 1) >= threshold));
  for (const [track, row] of rows) row.parentElement.hidden = !view.visible.has(track);
  const count = predicted.filter((track) => view.visible.has(track)).length;
  element("predicted-count").textContent = count < predicted.length ? `${count} of ${predicted.length}` : count;
  element("nothing").hidden = count > 0;
  element("nothing").textContent = predicted.length ? "None has this score." : "Nothing was found in this video.";
  const hidden = indices.every((track) => tracks[track].id !== view.followed || !view.visible.has(track));
  if (view.followed !== null && hidden) follow(null);
  else redraw();
}

function fill(list, order) {
  list.replaceChildren(...order.map((track) => {
    if (!rows.has(track)) rows.set(track, makeRow(track));
    return rows.get(track).parentElement;
  }));
}

function makeRow(track) {
  const { id, category, score, color, ink, spans, note } = tracks[track];
  const row = document.createElement("button");
  row.type = "button";
  row.className = "track";
  row.dataset.id = id;
  row.setAttribute("aria-pressed", "false");
  row.style.setProperty("--color", color);
  row.style.setProperty("--ink", ink);
  const add = (name, text) => {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    row.append(part);
    return part;
  };
  add("number", id);
  add("name", category);
  add("score", score === null ? "" : score.toFixed(2));
  if (note) add("note", note);
  const count = spans.reduce((sum, [, length]) => sum + length, 0);
  const last = spans.length ? spans[spans.length - 1] : null;
  let frameText = last ? `frames ${spans[0][0]} to ${last[0] + last[1] - 1}` : "in no frame";
  add("life", "").innerHTML =
    `<svg viewBox="0 0 ${facts.numFrames} 1" preserveAspectRatio="none" aria-hidden="true"><path d="` +
    spans.map(([start, length]) => `M${start} 0h${length}v1h-${length}z`).join("") + `"/></svg>`;
  if (spans.length > 1) frameText += `, seen in ${count}`;
  add("when", count < facts.numFrames ? frameText : "in every frame");
  row.addEventListener("click", () => follow(view.followed === id ? null : id));
  document.createElement("li").append(row);
  return row;
}

function sortPredicted() {
  const start = (track) => tracks[track].spans[0]?.[0] ?? Infinity;
  const byStart = element("order").value === "start";
  fill(element("predicted-list"), byStart ? [...predicted].sort((a, b) => start(a) - start(b)) : predicted);
}

/** Follow the track above (-1) or below (1) in the list. */
function neighbour(by) {
  const ids = [...document.querySelectorAll("#lists li:not([hidden]) .track")].map((row) => Number(row.dataset.id));
  if (!ids.length) return;
  const now = ids.indexOf(view.followed);
  const next = ids[now < 0 ? (by > 0 ? 0 : ids.length - 1) : (now + by + ids.length) % ids.length];
  follow(next);
  document.querySelector(`.track[data-id="${next}"]`).scrollIntoView({ block: "nearest" });
}

// The page

function describe() {
  const [height, width] = facts.videoSize, [shownHeight, shownWidth] = facts.size;
  const rate = Number(facts.framesPerSecond.toFixed(2));
  element("summary").textContent =
    `${facts.numFrames.toLocaleString("en")} frame${facts.numFrames > 1 ? "s" : ""} · ${width}×${height} · ${rate} frames/s`;
  element("description").textContent = facts.description;
  element("description").hidden = !facts.description;
  if (facts.back) {
    element("back").href = facts.back;
    element("back").hidden = false;
  }
  const notes = [];
  if (facts.stride > 1)
    notes.push(`${frames.length.toLocaleString("en")} of the video's ${facts.numFrames.toLocaleString("en")} frames are in this page, one in ${facts.stride}, so that the file stays small.`);
  if (shownHeight !== height)
    notes.push(`Frames and masks are shown at ${shownWidth}×${shownHeight}.`);
  element("contents").textContent = notes.join(" ");
  element("contents").hidden = !notes.length;
}

function arrange() {
  if (!truth.length) return;
  document.body.classList.add("beside");
  document.body.classList.toggle("upright", facts.size[0] > facts.size[1]);
  for (const part of [element("truth"), element("truth-tracks"), document.querySelector("#predicted figcaption")]) part.hidden = false;
  element("predicted-heading").textContent = "Predicted";
  element("truth-count").textContent = truth.length;
  stages.push(new Stage(element("truth"), truth, "The video with its annotated objects"));
  fill(element("truth-list"), truth);
}

const TOGGLES = { m: "masks", o: "outlines", n: "names", b: "boxes" };

function listen() {
  element("play").addEventListener("click", () => play(!playing));
  element("previous").addEventListener("click", () => step(-1));
  element("next").addEventListener("click", () => step(1));
  element("scrub").addEventListener("input", (event) => step(Number(event.target.value) - index));
  element("threshold").addEventListener("input", filter);
  element("order").addEventListener("change", sortPredicted);
  element("all").addEventListener("click", () => follow(null));
  for (const name of Object.values(TOGGLES)) {
    element(name).addEventListener("change", (event) => {
      view[name] = event.target.checked;
      redraw();
    });
  }
  for (const stage of stages) {
    stage.overlay.addEventListener("click", (event) => {
      const id = stage.trackAt(event);
      follow(id === view.followed ? null : id);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inside = event.target.closest("input[type=range], select"), key = event.key;
    const act = TOGGLES[key.toLowerCase()]
      ? () => element(TOGGLES[key.toLowerCase()]).click()
      : {
          Escape: () => follow(null),
          " ": event.target.closest("button, input[type=checkbox], a, select") ? null : () => play(!playing),
          ArrowLeft: inside ? null : () => step(event.shiftKey ? -10 : -1),
          ArrowRight: inside ? null : () => step(event.shiftKey ? 10 : 1),
          ArrowUp: inside ? null : () => neighbour(-1),
          ArrowDown: inside ? null : () => neighbour(1),
          Home: inside ? null : () => step(-index),
          End: inside ? null : () => step(frames.length),
        }[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

describe();
arrange();
sortPredicted();
element("order-row").hidden = predicted.length < 3;
element("threshold-row").hidden = predicted.every((track) => tracks[track].score === null);
// Scores are from 0 to 1, but other people's may be anything.
const scores = predicted.map((track) => tracks[track].score ?? 0);
element("threshold").min = Math.min(0, Math.floor(Math.min(...scores)));
element("threshold").max = Math.max(1, Math.ceil(Math.max(...scores)));
element("threshold").value = facts.threshold || element("threshold").min;
element("scrub").max = frames.length - 1;
filter();
listen();
show(0);
