// The grid: one light button per image, which is drawn only while it is near the window.
const NEAR = "800px 0px";
const PRINTED = 24;
const DESCENDING = "Largest first", ASCENDING = "Smallest first";

const IN_MM = DATA.images.every((image) => image.error === null || image.mean_mm !== null);
const SORTS = [
  ["error", "mean error", (image) => (IN_MM ? image.mean_mm : image.error), IN_MM ? " mm" : " px"],
  ["max", "largest error", (image) => (IN_MM ? image.max_mm : image.max), IN_MM ? " mm" : " px"],
  ...DATA.losses.map((name, i) => [
    name, name === "total" ? "total loss" : `loss: ${name}`, (image) => image.losses[i], "",
  ]),
  ["sigma", "σ", (image) => image.sigma, " px"],
  ["severity", "severity of violations", (image) => image.severity, ""],
  ["name", "file name", (image) => image.name, ""],
].filter(([, , value]) => DATA.images.some((image) => value(image) !== null && value(image) !== undefined));

const state = { sort: "error", descending: true, code: "", type: "", status: "evaluated", text: "" };
let shown = [];
let current = 0;

const sortOf = (name) => SORTS.find(([key]) => key === name) || SORTS[0];
const typesOf = (image) => [...new Set(image.types.filter((type) => type !== null && type > 0))];

const cards = DATA.images.map((image, index) => {
  const card = element("button", { type: "button", class: "card", tabindex: "-1", "data-index": index });
  card.setAttribute("aria-label", spoken(image));
  return element("li", {}, card);
});

function spoken(image) {
  const codes = [...new Set(image.findings.map(([code]) => code))];
  const said = [image.name, `mean error ${IN_MM ? `${image.texts.mean_mm} millimetres` : `${image.texts.mean} pixels`}`];
  if (codes.length) said.push(`violations ${codes.join(" ")}`);
  if (image.shift) said.push("marked one level off");
  return said.join(", ");
}

const failedCards = DATA.failed.map(({ name, reason }) =>
  element("li", { class: "failure" }, element("p", { class: "name" }, name), element("p", {}, reason)));

const fill = (card) => {
  if (card.firstChild) return;
  const index = Number(card.dataset.index), image = DATA.images[index];
  const frame = element("span", { class: "frame" }, drawing(image, index));
  if (!image.covers) frame.append(element("span", { class: "no-film" }, "picture not available"));
  const [key, title, value, unit] = sortOf(state.sort);
  const lines = element("span", { class: "lines" },
    element("span", { class: "name", title: image.name }, image.name),
    element("span", {}, image.texts.mean_mm === null
      ? `mean ${image.texts.mean}, max ${image.texts.max} px`
      : `mean ${image.texts.mean_mm}, max ${image.texts.max_mm} mm`));
  if (!["error", "max", "name"].includes(key)) {
    lines.append(element("span", {}, `${title} ${number(value(image))}${unit}`));
  }
  const badges = element("span", { class: "badges" });
  if (image.shift) badges.append(element("span", { class: "badge bad" }, `level ${image.shift > 0 ? "+1" : "−1"}`));
  for (const code of new Set(image.findings.map(([found]) => found))) {
    badges.append(element("span", { class: "badge code", title: DATA.rules[code] || "" }, code));
  }
  if (image.label_codes.length) badges.append(element("span", { class: "badge" }, "label?"));
  card.append(frame, lines, badges);
};

const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) fill(target);
    else target.replaceChildren();
  }
}, { rootMargin: NEAR });

const matches = (image) => {
  const codes = image.findings.map(([code]) => code);
  if (state.code === "any" && !codes.length) return false;
  if (state.code === "none" && codes.length) return false;
  if (state.code && state.code !== "any" && state.code !== "none" && !codes.includes(state.code)) return false;
  if (state.type === "shift" && !image.shift) return false;
  if (state.type && state.type !== "shift" && !image.types.includes(Number(state.type))) return false;
  if (state.status === "no-film" && image.covers) return false;
  if (state.status === "label" && !image.label_codes.length) return false;
  return image.name.toLowerCase().includes(state.text);
};

const compare = (value, sign) => (a, b) => {
  const x = value(DATA.images[a]), y = value(DATA.images[b]);
  // What has no value comes last in either direction.
  if (x === null || y === null) return (x === null) - (y === null) || a - b;
  return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
};

const refresh = () => {
  const [, , value] = sortOf(state.sort);
  const failed = state.status === "failed" || state.status === "";
  const evaluated = state.status !== "failed";
  const rows = [...DATA.images.keys()].filter((index) => evaluated && matches(DATA.images[index]));
  shown = rows.sort(compare(value, state.descending ? -1 : 1));
  const unfiltered = !state.code && !state.type;
  const listed = failed && unfiltered
    ? failedCards.filter((_, i) => DATA.failed[i].name.toLowerCase().includes(state.text)) : [];
  near.disconnect();
  const grid = byId("grid");
  for (const index of DATA.images.keys()) cards[index].firstChild.replaceChildren();
  grid.replaceChildren(...shown.map((index) => cards[index]), ...listed);
  for (const index of shown) near.observe(cards[index].firstChild);
  const all = DATA.images.length + DATA.failed.length;
  byId("count").textContent = `${counted(shown.length + listed.length, "image")} of ${all.toLocaleString("en-US")}`;
  const rest = element("span", { class: "on-paper" }, `, of which the first ${PRINTED} are printed`);
  if (shown.length > PRINTED) byId("count").append(rest);
  makeCurrent(0, false);
};

const cardAt = (place) => cards[shown[place]]?.firstChild;

// One stop for the tab key; arrow keys move within.
const makeCurrent = (place, focus = true) => {
  cardAt(current)?.setAttribute("tabindex", "-1");
  current = Math.max(0, Math.min(shown.length - 1, place));
  for (const card of byId("grid").querySelectorAll('.card[tabindex="0"]')) card.setAttribute("tabindex", "-1");
  const card = cardAt(current);
  if (!card) return;
  card.setAttribute("tabindex", "0");
  if (focus) card.focus();
};

const columnsOf = (grid) => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

const moveOnKey = (event) => {
  const step = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: columnsOf(byId("grid")), ArrowUp: -columnsOf(byId("grid")),
    Home: -shown.length, End: shown.length,
  }[event.key];
  if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  makeCurrent(current + step);
};

const fillForPrint = (printing) => {
  shown.slice(0, PRINTED).forEach((index) => {
    const card = cards[index].firstChild;
    if (printing) fill(card);
    card.parentElement.classList.toggle("printed", printing);
  });
};
