// One radiograph with its layers, in original pixels; the centre of the upper left pixel is (0, 0).
const SIGMAS = 2;

const point = (flat, k) => {
  const x = flat[2 * k], y = flat[2 * k + 1];
  return x === null || y === null || x === undefined ? null : [x, y];
};

const outlinePath = (flat) => {
  const parts = [];
  for (const outline of DATA.outlines) {
    const corners = outline.map((k) => point(flat, k));
    const closed = outline.length > 2;
    corners.forEach((corner, i) => {
      const next = corners[(i + 1) % corners.length];
      if (corner && next && (closed || i === 0)) parts.push(`M${corner}L${next}`);
    });
  }
  return parts.join("");
};

// A line of no length with round ends: a dot that is as large on the screen whatever the scale.
const dotPath = (flat) => {
  const parts = [];
  for (let k = 0; k < flat.length / 2; k += 1) {
    const place = point(flat, k);
    if (place) parts.push(`M${place}h0`);
  }
  return parts.join("");
};

const errorPath = (image) => {
  const parts = [];
  for (let k = 0; k < image.label.length / 2; k += 1) {
    const from = point(image.label, k), to = point(image.pred, k);
    if (from && to) parts.push(`M${from}L${to}`);
  }
  return parts.join("");
};

const ellipses = (image) => {
  const made = [];
  for (let k = 0; image.spread && k < image.pred.length / 2; k += 1) {
    const place = point(image.pred, k), spread = point(image.spread, k);
    if (place && spread) {
      const [rx, ry] = spread.map((sigma) => SIGMAS * sigma);
      made.push(svg("ellipse", { cx: place[0], cy: place[1], rx, ry }));
    }
  }
  return made;
};

const pictureUrl = (index) => {
  const block = byId(`picture-${index}`);
  return block ? `data:image/jpeg;base64,${block.textContent}` : null;
};

const wholeBox = (image) => [-0.5, -0.5, image.size[0], image.size[1]];

// Around labels and predictions, as far as they lie in the image.
const spineBox = (image) => {
  const inside = [];
  for (const flat of [image.label, image.pred]) {
    for (let k = 0; k < flat.length / 2; k += 1) {
      const place = point(flat, k);
      const [width, height] = image.size;
      if (place && place[0] > 0 && place[1] > 0 && place[0] < width && place[1] < height) inside.push(place);
    }
  }
  if (inside.length < 2) return wholeBox(image);
  const xs = inside.map((place) => place[0]), ys = inside.map((place) => place[1]);
  const left = Math.min(...xs), top = Math.min(...ys);
  const width = Math.max(...xs) - left, height = Math.max(...ys) - top;
  const margin = 0.08 * Math.max(width, height) + 8;
  return [left - margin, top - margin, width + 2 * margin, height + 2 * margin];
};

const drawing = (image, index, box = wholeBox(image)) => {
  const film = svg("g", { class: "layer film" });
  const url = image.covers && pictureUrl(index);
  if (url) {
    const [width, height] = image.covers;
    const place = { x: -0.5, y: -0.5, width, height, preserveAspectRatio: "none", href: url };
    film.append(svg("image", place));
  }
  const whole = wholeBox(image);
  const frame = { x: whole[0], y: whole[1], width: whole[2], height: whole[3], class: "edge" };
  return svg(
    "svg",
    { viewBox: box.join(" "), "aria-hidden": "true", focusable: "false" },
    film,
    svg("rect", frame),
    svg("g", { class: "layer spread" }, ...ellipses(image)),
    svg("g", { class: "layer label" },
      svg("path", { d: outlinePath(image.label) }), svg("path", { d: dotPath(image.label), class: "dots" })),
    svg("g", { class: "layer pred" },
      svg("path", { d: outlinePath(image.pred) }), svg("path", { d: dotPath(image.pred), class: "dots" })),
    svg("g", { class: "layer error" }, svg("path", { d: errorPath(image) })),
  );
};
