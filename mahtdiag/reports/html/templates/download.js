// A figure as a file of its own: the colours of the light page in the place of the page's variables.
const lightColours = () => {
  const root = document.documentElement;
  const chosen = root.dataset.theme;
  root.dataset.theme = "light";
  const style = getComputedStyle(root);
  const known = (name) => style.getPropertyValue(name).trim();
  const names = ["--plot-blue", "--plot-vermillion", "--plot-green", "--plot-purple", "--plot-body", "--ink", "--muted", "--rule"];
  const colours = new Map(names.map((name) => [`var(${name})`, known(name)]));
  root.dataset.theme = chosen;
  return colours;
};

const standalone = (plot) => {
  const copy = plot.cloneNode(true);
  const colours = lightColours();
  const size = plot.viewBox.baseVal;
  for (const [name, value] of Object.entries({ width: `${size.width}pt`, height: `${size.height}pt`,
    "font-family": "DejaVu Sans, Verdana, sans-serif" })) copy.setAttribute(name, value);
  for (const part of [copy, ...copy.querySelectorAll("*")]) {
    for (const { name, value } of [...part.attributes]) {
      if (colours.has(value)) part.setAttribute(name, colours.get(value));
    }
  }
  const paper = svg("rect", { x: size.x, y: size.y, width: size.width, height: size.height, fill: "#fff" });
  copy.prepend(paper);
  return new XMLSerializer().serializeToString(copy);
};

const save = (url, name) => {
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
};

const DOTS_PER_POINT = 300 / 72;

const asPng = (text, plot, name) => {
  const picture = new Image();
  picture.addEventListener("load", () => {
    const size = plot.viewBox.baseVal;
    const canvas = element("canvas", { width: Math.round(size.width * DOTS_PER_POINT), height: Math.round(size.height * DOTS_PER_POINT) });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    save(canvas.toDataURL("image/png"), name);
  });
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
};

for (const button of document.querySelectorAll(".download")) {
  button.hidden = false;
  const figure = button.closest("figure");
  const name = `${figure.id.replace("figure-", "")}.${button.dataset.kind}`;
  button.setAttribute("aria-label", `Save this figure as ${button.dataset.kind.toUpperCase()}`);
  button.addEventListener("click", () => {
    const plot = figure.querySelector(".plot");
    const text = standalone(plot);
    if (button.dataset.kind === "png") asPng(text, plot, name);
    else save(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`, name);
  });
}
