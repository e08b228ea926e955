// The page's sentences.

const NOUNS = { image: "picture", series: "series", bars: "row", counts: "row of counts" };

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function category(count) {
  return `${count} categor${count === 1 ? "y" : "ies"}`;
}

function leadOf({ space, look }) {
  const noun = NOUNS[look.kind];
  const { categories, style } = space;
  if (categories && style) {
    return `A model has learned to describe each ${noun} by two things: its category and its style. `
      + "Drag the two points and see at once what the model makes of them.";
  }
  if (categories) {
    return `A model has learned to describe each ${noun} as a mixture of `
      + `${category(categories.names.length)}. Drag the point and see at once what the model makes `
      + "of the mixture.";
  }
  const width = style.axes[0].length;
  return `A model has learned to describe each ${noun} by ${plural(width, "number")} alone. Drag the `
    + "point and see at once what the model makes of them.";
}

function simplexHint(count) {
  if (count === 2) return "Each end is one category, a place between them a mixture of both.";
  return "Each corner is one category, a place between corners a mixture. Click a corner to go there.";
}

function planeHint(style, name, noun) {
  const width = style.axes[0].length;
  if (width === 1) return `The number ${name}_0, from low to high.`;
  if (style.by === "numbers") return `Left to right is ${name}_0, bottom to top is ${name}_1.`;
  const which = style.by === "means"
    ? "the examples differ most" : `the decoded ${noun} changes most`;
  return `Of ${width} numbers, the plane shows the two directions in which ${which}.`;
}

function explanations({ space, look, decoder, examples, about }) {
  const all = [
    `A variational autoencoder encodes each ${NOUNS[look.kind]} as a point of a small space, its `
      + "latent space, and decodes points of that space. This page decodes the point that you drag.",
  ];
  const count = space.categories ? space.categories.names.length : 0;
  if (count > 3) {
    all.push(`With ${count} categories a place in the polygon stands for one of many mixtures: its `
      + "Wachspress coordinates, which are linear along each side. The sliders reach all mixtures.");
  }
  const still = space.parts.filter(({ role }) => role === "still").map(({ name }) => name);
  if (still.length) all.push(`Not moved here, but kept in the middle: ${still.join(", ")}.`);
  if (decoder.kind === "lattice") {
    all.push("This page cannot run the decoder of this model. It shows the nearest of "
      + `${plural(decoder.count, "point")} that were decoded beforehand.`);
  } else {
    all.push("The decoder runs in this page, its weights rounded. At "
      + `${plural(decoder.tried, "point")} that were tried, no value is off by more than `
      + `${Number((100 * decoder.error).toPrecision(2))} % of the range in which it is shown.`);
  }
  if (examples) {
    const of = examples.labels ? ", equally many of each label while there are any" : "";
    all.push(`The page holds ${plural(examples.count, "example")} of the test data${of}. Near means `
      + "near in the latent space, each part of it weighted as the decoder weights it.");
  }
  all.push(`This page loads nothing from the network. jaxvae ${about.version} made it from the run `
    + `${about.run}.`);
  return all;
}

function writeTexts({ told, isLattice, examples }) {
  const { about, space, look } = told;
  const put = (id, text) => { document.getElementById(id).textContent = text; };
  const noun = NOUNS[look.kind];
  put("name", about.name);
  put("lead", leadOf(told));
  put("result-title", `The model's ${look.kind === "counts" ? "counts" : noun}`);
  const facts = [`${about.latent} model`, about.size];
  if (space.categories) facts.push(category(space.categories.names.length));
  const style = space.parts.find(({ role }) => role === "style");
  if (style) facts.push(plural(style.width, space.categories ? "style number" : "number"));
  if (about.trained) facts.push(`trained on ${plural(about.trained, "example")}`);
  facts.push(`run ${about.run}`);
  document.getElementById("facts").append(...facts.map((fact) => make("li", {}, fact)));
  if (space.categories) put("simplex-hint", simplexHint(space.categories.names.length));
  if (style) {
    put("plane-hint", planeHint(space.style, style.name, noun));
    put("plane-title", space.categories ? "Style" : "Latent space");
    put("random", space.categories ? "Random style" : "Random point");
  }
  document.getElementById("lattice").hidden = !isLattice;
  if (isLattice) {
    put("lattice", `The nearest of ${plural(told.decoder.count, "point")}, decoded beforehand.`);
  }
  put("near-hint", examples
    ? "Held-out examples, the nearest first. Click one to go to its point."
    : "This page holds no examples. It was made without them, or without the data of the run: "
      + "jaxvae explore RUN --data FILE adds them.");
  const list = document.getElementById("explained");
  list.append(...explanations(told).map((text) => make("li", {}, text)));
  document.title = `${about.name}: explore the latent space`;
}
