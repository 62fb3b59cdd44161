"use strict";
// Masks as the page holds them: compressed run-length codes over the columns of a picture (COCO's format).

/** Run lengths of compressed counts, alternately outside and inside. */
function runLengths(counts) {
  const runs = [];
  let at = 0;
  while (at < counts.length) {
    let run = 0, shift = 0, digit;
    do {
      digit = counts.charCodeAt(at++) - 48;
      run |= (digit & 31) << shift;
      shift += 5;
    } while (digit & 32);
    if (digit & 16) run |= -1 << shift;
    if (runs.length > 2) run += runs[runs.length - 2];
    runs.push(run);
  }
  return runs;
}

/**
 * A mask as a path that canvases fill and stroke, sharp at any magnification, with the box around it.
 * Returns {path: Path2D, box: [left, top, right, bottom]} in pixels of the mask, null where it is empty.
 */
function maskShape(counts, height) {
  const runs = runLengths(counts);
  const strips = []; // [column, first row, row after the last]
  let left = Infinity, top = Infinity, right = 0, bottom = 0, position = 0;
  runs.forEach((run, index) => {
    const end = position + run;
    while (index % 2 && position < end) {
      const x = Math.floor(position / height), y0 = position % height;
      const y1 = Math.min(height, y0 + end - position);
      strips.push([x, y0, y1]);
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y0);
      bottom = Math.max(bottom, y1);
      position += y1 - y0;
    }
    position = end;
  });
  if (!strips.length) return null;
  // One row and column of nothing around it: the outline then never has to ask where the picture ends.
  const rows = bottom - top + 2, columns = right - left + 2;
  const inside = new Uint8Array(rows * columns);
  for (const [x, y0, y1] of strips) {
    const start = (x - left + 1) * rows + 1 - top;
    inside.fill(1, start + y0, start + y1);
  }
  return { path: outline(inside, rows, columns, left - 1, top - 1), box: [left, top, right, bottom] };
}

const STEP_X = [1, 0, -1, 0], STEP_Y = [0, 1, 0, -1]; // right, down, left, up

/** The closed lines around what is inside, through the middles of the pixels' edges so that slopes are not stairs. */
function outline(inside, rows, columns, left, top) {
  // Bit d of a corner: an edge sets out from it in direction d, with the inside on its right.
  const edges = new Uint8Array((rows + 1) * (columns + 1));
  for (let x = 1; x < columns - 1; x++) {
    for (let y = 1; y < rows - 1; y++) {
      const at = x * rows + y;
      if (!inside[at]) continue;
      const corner = x * (rows + 1) + y;
      if (!inside[at - 1]) edges[corner] |= 1;
      if (!inside[at + rows]) edges[corner + rows + 1] |= 2;
      if (!inside[at + 1]) edges[corner + rows + 2] |= 4;
      if (!inside[at - rows]) edges[corner + 1] |= 8;
    }
  }
  const path = new Path2D();
  for (let start = 0; start < edges.length; start++) {
    while (edges[start]) follow(start);
  }
  return path;

  function follow(start) {
    let x = Math.floor(start / (rows + 1)), y = start % (rows + 1), corner = start;
    let direction = Math.log2(edges[start] & -edges[start]), drawn = false;
    do {
      edges[corner] &= ~(1 << direction);
      const middleX = left + x + STEP_X[direction] / 2, middleY = top + y + STEP_Y[direction] / 2;
      x += STEP_X[direction];
      y += STEP_Y[direction];
      corner = x * (rows + 1) + y;
      if (drawn) path.lineTo(middleX, middleY);
      else path.moveTo(middleX, middleY);
      drawn = true;
      // Where two pixels touch at a corner only, the line stays with its own: it turns right first.
      direction = [1, 0, 3].map((turn) => (direction + turn) % 4).find((next) => (edges[corner] >> next) & 1);
    } while (direction !== undefined);
    path.closePath();
  }
}
