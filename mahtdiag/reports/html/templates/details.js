// One image in full: a larger picture, its findings in words, its losses, every keypoint.
const WORST_MARKED = 3;

const showDetail = (dialog, index) => {
  const image = DATA.images[index];
  byId("detail-name").textContent = image.name;
  const picture = byId("detail-picture");
  const box = byId("zoom").checked ? spineBox(image) : wholeBox(image);
  const drawn = drawing(image, index, box);
  const ring = svg("circle", { class: "ring", r: 0.022 * Math.max(box[2], box[3]), visibility: "hidden" });
  drawn.append(...vertebraNames(image, box), ring);
  picture.replaceChildren(drawn);
  if (!image.covers) picture.append(element("p", { class: "no-film" }, image.missing));
  const text = byId("detail-text");
  text.replaceChildren(facts(image), findings(image), losses(image), keypoints(image, ring));
  text.scrollTop = 0;
};

// Beside the left end of each vertebra, by its label where there is one.
const vertebraNames = (image, box) => DATA.outlines.flatMap((outline) => {
  const name = DATA.keypoints[outline[0]].split(" ")[0];
  const corners = outline.map((k) => point(image.label, k)).filter(Boolean);
  const known = corners.length ? corners : outline.map((k) => point(image.pred, k)).filter(Boolean);
  if (!known.length) return [];
  const size = 0.026 * Math.max(box[2], box[3]);
  const x = Math.min(...known.map((place) => place[0])) - 0.8 * size;
  const y = known.reduce((sum, place) => sum + place[1], 0) / known.length + 0.35 * size;
  return [svg("text", { x, y, "font-size": size, class: "vertebra" }, name)];
});

const facts = (image) => {
  const list = element("dl", { class: "pairs" });
  const add = (name, value) => list.append(element("dt", {}, name), element("dd", {}, value));
  add("mean error", length(image.texts.mean, image.texts.mean_mm));
  add("largest error", length(image.texts.max, image.texts.max_mm));
  if (image.sigma !== null) add("σ, root mean square", `${number(image.sigma)} px`);
  add("size", `${image.size[0]} × ${image.size[1]} px`);
  add("pixel spacing", image.spacing === null ? "unknown" : `${image.spacing.map((mm) => number(mm)).join(" × ")} mm`);
  return list;
};

// What is rounded comes rounded: a number that is shown twice is the same both times.
const length = (px, mm) => mm === null ? `${px} px` : `${mm} mm (${px} px)`;

const findings = (image) => {
  const part = element("div", {}, element("h4", {}, "Findings"));
  const list = element("ul", { class: "findings" });
  if (image.shift) {
    const where = image.shift > 0 ? "low" : "high";
    const sentence = `every vertebra is marked one level too ${where}`;
    list.append(element("li", {}, element("span", { class: "badge bad" }, "level"), " ", sentence));
  }
  for (const [code, sentence] of image.findings) {
    const badge = element("span", { class: "badge code", title: DATA.rules[code] || "" }, code);
    list.append(element("li", {}, badge, " ", sentence));
  }
  if (image.label_codes.length) {
    const sentence = `its label breaks ${image.label_codes.join(", ")}: is the label right?`;
    list.append(element("li", {}, element("span", { class: "badge" }, "label"), " ", sentence));
  }
  part.append(list.children.length ? list : element("p", { class: "muted" }, "No anatomical rule fired."));
  return part;
};

const losses = (image) => {
  const part = element("div", {}, element("h4", {}, "Loss"));
  const list = element("dl", { class: "pairs" });
  DATA.losses.forEach((name, i) => {
    if (image.losses[i] === null) return;
    const weight = DATA.weights[name];
    const shown = weight === undefined ? number(image.losses[i]) : `${number(image.losses[i])} × ${weight}`;
    const level = name in DATA.weights || name === "total" ? {} : { class: "indent" };
    list.append(element("dt", level, name), element("dd", {}, shown));
  });
  part.append(list);
  return part;
};

const keypoints = (image, ring) => {
  const columns = ["keypoint", "error mm", "error px", "type", "σ px", "error / σ", "peak"];
  const shown = columns.filter((name) =>
    !(name === "error mm" && image.errors_mm === null) && !(name.includes("σ") && !image.spread));
  const worst = worstKeypoints(image);
  const rows = DATA.keypoints.map((name, k) => {
    const sigma = image.spread && point(image.spread, k);
    const rms = sigma && Math.sqrt((sigma[0] ** 2 + sigma[1] ** 2) / 2);
    const cells = {
      "keypoint": name,
      "error px": image.texts.errors[k],
      "error mm": image.texts.errors_mm === null ? "–" : image.texts.errors_mm[k],
      "type": image.types[k] === null ? "–" : DATA.types[image.types[k]],
      "σ px": number(rms),
      "error / σ": image.texts.in_sigma === null ? "–" : image.texts.in_sigma[k],
      "peak": number(image.peaks[k]),
    };
    const row = element("tr", worst.has(k) ? { class: "worst" } : {});
    shown.forEach((column, i) => row.append(
      i === 0 ? element("th", { scope: "row" }, cells[column])
        : element("td", column === "type" ? {} : { class: "number" }, cells[column])));
    const place = point(image.pred, k) || point(image.label, k);
    row.addEventListener("pointerenter", () => {
      if (!place) return;
      ring.setAttribute("cx", place[0]);
      ring.setAttribute("cy", place[1]);
      ring.setAttribute("visibility", "visible");
    });
    row.addEventListener("pointerleave", () => ring.setAttribute("visibility", "hidden"));
    return row;
  });
  const head = element("tr", {}, ...shown.map((name) =>
    element("th", name === "keypoint" || name === "type" ? { scope: "col" }
      : { scope: "col", class: "number" }, name)));
  return element("div", {}, element("h4", {}, "Keypoints"),
    element("table", { class: "keypoints" }, element("thead", {}, head), element("tbody", {}, ...rows)));
};

const worstKeypoints = (image) => {
  const order = image.errors.map((error, k) => [error, k]).filter(([error]) => error !== null);
  order.sort((a, b) => b[0] - a[0]);
  return new Set(order.slice(0, WORST_MARKED).map(([, k]) => k));
};
