"use strict";
// A picture with tracks over it: the frame on one canvas, masks and names on another above it.

class Stage {
  /** `figure` gets the canvases; `tracks` are the indices of the tracks shown in it. */
  constructor(figure, tracks, label) {
    this.tracks = tracks;
    this.frame = null;
    this.view = null;
    [this.height, this.width] = facts.size;
    const screen = figure.querySelector(".screen");
    screen.style.setProperty("--ratio", this.width / this.height);
    this.picture = this.addCanvas(screen, "picture");
    this.picture.width = this.width;
    this.picture.height = this.height;
    this.picture.setAttribute("role", "img");
    this.picture.setAttribute("aria-label", label);
    this.overlay = this.addCanvas(screen, "overlay");
    this.overlay.setAttribute("aria-hidden", "true");
    new ResizeObserver(() => this.resize()).observe(screen);
  }

  addCanvas(screen, name) {
    const canvas = document.createElement("canvas");
    canvas.className = name;
    screen.append(canvas);
    return canvas;
  }

  resize() {
    const scale = (this.overlay.clientWidth * (window.devicePixelRatio || 1)) / this.width;
    if (!scale) return;
    this.overlay.width = Math.round(this.width * scale);
    this.overlay.height = Math.round(this.height * scale);
    this.draw(this.frame, this.view);
  }

  /** Draw a frame; `view` says which tracks are visible, which is followed, and what is shown of them. */
  draw(frame, view) {
    if (!frame) return;
    if (frame !== this.frame) this.picture.getContext("2d").drawImage(frame.picture, 0, 0, this.width, this.height);
    this.frame = frame;
    this.view = view;
    const context = this.overlay.getContext("2d");
    const scale = this.overlay.width / this.width;
    const pixel = (window.devicePixelRatio || 1) / scale; // a pixel of the screen, in pixels of the frame
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    // The best track is drawn last, over the others.
    const shown = this.tracks.filter((track) => view.visible.has(track) && frame.shapes.has(track)).reverse();
    const followed = shown.filter((track) => view.followed === facts.tracks[track].id);
    const others = shown.filter((track) => !followed.includes(track));
    if (view.followed !== null) {
      if (followed.length) this.dimAround(context, frame.shapes.get(followed[0]).path);
      for (const track of others) this.drawShape(context, frame, track, { outlines: true }, pixel, 0.35);
    }
    const drawn = view.followed === null ? shown : followed;
    for (const track of drawn) this.drawShape(context, frame, track, view, pixel, 1);
    if (view.names) this.drawTags(context, frame, drawn, pixel);
  }

  drawShape(context, frame, track, view, pixel, strength) {
    const { path, box } = frame.shapes.get(track);
    context.fillStyle = context.strokeStyle = facts.tracks[track].color;
    context.lineJoin = "round";
    if (view.masks) {
      context.globalAlpha = 0.45 * strength;
      context.fill(path, "evenodd");
    }
    context.globalAlpha = strength;
    context.lineWidth = 2 * pixel;
    if (view.outlines) context.stroke(path);
    if (view.boxes) context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    context.globalAlpha = 1;
  }

  dimAround(context, path) {
    const around = new Path2D();
    around.rect(0, 0, this.width, this.height);
    around.addPath(path);
    context.fillStyle = "rgba(8, 10, 14, 0.5)";
    context.fill(around, "evenodd");
  }

  /** Names where there is room: above the object, below it, or over its upper edge. */
  drawTags(context, frame, tracks, pixel) {
    const tags = []; // {spot: [left, top, right, bottom], text, color, ink}, the best track's first
    // On a phone the names are shorter: they would hide the objects.
    const small = this.overlay.clientWidth < 480;
    context.font = `600 ${(small ? 11 : 12) * pixel}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    for (const track of [...tracks].reverse()) {
      const { id, category, score, color, ink } = facts.tracks[track];
      const { box } = frame.shapes.get(track);
      const text = `${id} ${category}` + (score === null || small ? "" : ` ${score.toFixed(2)}`);
      const width = context.measureText(text).width + 10 * pixel, height = (small ? 16 : 18) * pixel, gap = 3 * pixel;
      const x = Math.max(0, Math.min((box[0] + box[2] - width) / 2, this.width - width));
      const spots = [box[1] - height - gap, box[3] + gap, box[1] + gap, box[3] - height - gap]
        .filter((y) => y >= 0 && y + height <= this.height)
        .map((y) => [x, y, x + width, y + height]);
      if (!spots.length) spots.push([x, 0, x + width, height]);
      const apart = (a, b) => a[0] >= b[2] || b[0] >= a[2] || a[1] >= b[3] || b[1] >= a[3];
      const spot = spots.find((one) => tags.every((other) => apart(one, other.spot))) ?? spots[0];
      tags.push({ spot, text, color, ink });
    }
    for (const { spot, text, color, ink } of tags.reverse()) {
      context.fillStyle = color;
      context.beginPath();
      context.roundRect(spot[0], spot[1], spot[2] - spot[0], spot[3] - spot[1], 4 * pixel);
      context.fill();
      context.fillStyle = ink;
      context.fillText(text, spot[0] + 5 * pixel, (spot[1] + spot[3]) / 2 + 0.5 * pixel);
    }
  }

  /** The id of the track under a click, null where there is none. */
  trackAt(event) {
    if (!this.frame) return null;
    const place = this.overlay.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * this.width;
    const y = ((event.clientY - place.top) / place.height) * this.height;
    const context = this.overlay.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    const hit = this.tracks.find(
      (track) =>
        this.view.visible.has(track) &&
        this.frame.shapes.has(track) &&
        context.isPointInPath(this.frame.shapes.get(track).path, x, y, "evenodd"),
    );
    return hit === undefined ? null : facts.tracks[hit].id;
  }
}
