"use strict";
// The frames in the page, each a script element holding JSON: read when it is shown, forgotten a little later.

const facts = JSON.parse(document.getElementById("facts").textContent);

class Frames {
  constructor(height) {
    this.elements = document.getElementsByClassName("frame");
    this.height = height;
    this.ready = new Map(); // index -> promise of {number, picture, shapes}, the last used last
  }

  get length() {
    return this.elements.length;
  }

  /** {number, picture: Image, shapes: Map of track index -> {path, box}} of the index-th frame in the page. */
  get(index) {
    const known = this.ready.get(index) ?? this.read(index);
    this.ready.delete(index);
    this.ready.set(index, known);
    for (const oldest of this.ready.keys()) {
      if (this.ready.size <= 24) break;
      this.ready.delete(oldest);
    }
    return known;
  }

  async read(index) {
    const content = JSON.parse(this.elements[index].textContent);
    const picture = new Image();
    picture.src = "data:image/jpeg;base64," + content.picture;
    const shapes = new Map();
    for (const [track, counts] of content.masks) {
      const shape = maskShape(counts, this.height);
      if (shape) shapes.set(track, shape);
    }
    await picture.decode();
    return { number: content.frame, picture, shapes };
  }
}
