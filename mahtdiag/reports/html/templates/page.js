// Joins the controls of the page to what they control.
const option = (value, text) => element("option", { value }, text);

const tally = (values) => {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
};

const offerChoices = () => {
  for (const [key, title] of SORTS) byId("sort").append(option(key, title));
  if (!SORTS.some(([key]) => key === state.sort)) state.sort = SORTS[0]?.[0] ?? "name";
  const codes = tally(DATA.images.flatMap((image) => [...new Set(image.findings.map(([code]) => code))]));
  byId("code").append(option("", "all images"), option("any", "any violation"), option("none", "no violation"));
  for (const [code, count] of codes) {
    byId("code").append(option(code, `${code} ${DATA.rules[code] || ""} (${count})`));
  }
  byId("type").append(option("", "all images"));
  const shifted = DATA.images.filter((image) => image.shift).length;
  if (shifted) byId("type").append(option("shift", `whole image one level off (${shifted})`));
  for (const [type, count] of tally(DATA.images.flatMap(typesOf))) {
    byId("type").append(option(type, `${DATA.types[type]} (${count})`));
  }
  byId("status").append(option("evaluated", `evaluated (${DATA.images.length})`));
  if (DATA.failed.length) {
    byId("status").append(option("failed", `failed (${DATA.failed.length})`), option("", "all"));
  }
  const wrong = DATA.images.filter((image) => image.label_codes.length).length;
  if (wrong) byId("status").append(option("label", `label breaks a rule (${wrong})`));
  const without = DATA.images.filter((image) => !image.covers).length;
  if (without) byId("status").append(option("no-film", `picture not available (${without})`));
};

const showState = () => {
  for (const name of ["sort", "code", "type", "status"]) byId(name).value = state[name];
  byId("order").textContent = state.sort === "name"
    ? (state.descending ? "Z to A" : "A to Z") : (state.descending ? DESCENDING : ASCENDING);
  byId("order").setAttribute("aria-pressed", String(!state.descending));
  refresh();
};

const START = {};

const connectControls = () => {
  for (const name of ["sort", "code", "type", "status"]) {
    byId(name).addEventListener("change", () => {
      if (name === "sort") state.descending = byId("sort").value !== "name";
      state[name] = byId(name).value;
      showState();
    });
  }
  byId("order").addEventListener("click", () => { state.descending = !state.descending; showState(); });
  byId("text").addEventListener("input", () => { state.text = byId("text").value.trim().toLowerCase(); refresh(); });
  byId("reset").addEventListener("click", () => { byId("text").value = ""; Object.assign(state, START); showState(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("grid").addEventListener("keydown", moveOnKey);
  for (const button of document.querySelectorAll(".look")) {
    button.hidden = false;
    button.addEventListener("click", () => lookAt(button.dataset.look));
  }
};

// `sort:error`, `code:A201`, `type:shift`, `status:failed`: what a failed gate is about.
const lookAt = (look) => {
  const [name, value] = look.split(":");
  Object.assign(state, START);
  byId("text").value = "";
  const known = [...byId(name).options].some((choice) => choice.value === value);
  if (known) state[name] = value;
  showState();
  byId("images").scrollIntoView();
  makeCurrent(0);
};

const connectLayers = () => {
  const section = byId("images");
  const boxes = [...document.querySelectorAll("[data-layer]")];
  // The dialog covers the page, so it has the same switches.
  for (const box of boxes) {
    const twin = box.closest("label").cloneNode(true);
    byId("detail-layers").append(twin);
  }
  const all = [...document.querySelectorAll("[data-layer]")];
  const apply = (name, on) => {
    section.classList.toggle(`without-${name}`, !on);
    for (const box of all) if (box.dataset.layer === name) box.checked = on;
  };
  for (const box of all) {
    box.addEventListener("change", () => apply(box.dataset.layer, box.checked));
    apply(box.dataset.layer, box.checked);
  }
};

const connectDetail = () => {
  const dialog = byId("detail");
  const open = (place) => {
    makeCurrent(place, false);
    showDetail(dialog, shown[current]);
    byId("detail-place").textContent = `${current + 1} of ${shown.length}`;
    byId("previous").disabled = current === 0;
    byId("next").disabled = current === shown.length - 1;
    if (!dialog.open) dialog.showModal();
  };
  const places = new Map(DATA.images.map((image, index) => [image.name, index]));
  for (const button of document.querySelectorAll(".open-image")) {
    button.disabled = !places.has(button.dataset.image);
    button.addEventListener("click", () => {
      // The image may be filtered out or far down the list.
      Object.assign(state, START, { sort: "error" });
      byId("text").value = "";
      showState();
      open(shown.indexOf(places.get(button.dataset.image)));
    });
  }
  byId("grid").addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) open(shown.indexOf(Number(card.dataset.index)));
  });
  byId("previous").addEventListener("click", () => open(current - 1));
  byId("next").addEventListener("click", () => open(current + 1));
  byId("close").addEventListener("click", () => dialog.close());
  byId("zoom").addEventListener("change", () => open(current));
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || !cardAt(current + step)) return;
    event.preventDefault();
    open(current + step);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => makeCurrent(current));
};

const connectTheme = () => {
  const root = document.documentElement, button = byId("theme");
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme === "auto" ? preferred.matches : root.dataset.theme === "dark");
  const show = () => {
    button.textContent = dark() ? "Light page" : "Dark page";
    button.setAttribute("aria-pressed", String(root.dataset.theme !== "auto"));
  };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; show(); });
  preferred.addEventListener("change", show);
  button.hidden = false;
  show();
};

connectTheme();
if (HAS_GALLERY) {
  offerChoices();
  Object.assign(START, state);
  connectControls();
  connectLayers();
  connectDetail();
  byId("no-script").hidden = true;
  byId("controls").hidden = false;
  byId("keys").hidden = false;
  showState();
  window.addEventListener("beforeprint", () => fillForPrint(true));
  window.addEventListener("afterprint", () => fillForPrint(false));
  const print = matchMedia("print");
  print.addEventListener("change", () => fillForPrint(print.matches));
}
