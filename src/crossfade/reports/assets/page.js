// Draws what comes with the page. Texts are set as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const narrow = () => window.innerWidth <= 760;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const CONFIG = { displaylogo: false, responsive: true, displayModeBar: false };

  // Okabe and Ito's colours, told apart by colour-blind readers; some a little darker or lighter for the page.
  const CLASSES = {
    light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#4aa3d8", "#5b5f66", "#7b4fa3"],
    dark: ["#56b4e9", "#ef8a3c", "#2fc79a", "#e39ac4", "#e3c84a", "#3f86c9", "#b3b9c2", "#b18fdc"],
  };
  const SEQUENCE = {
    light: [[0, "#fbfaf8"], [0.5, "#6fa8cf"], [1, "#08306b"]],
    dark: [[0, "#1c2025"], [0.5, "#2f6f9f"], [1, "#c6e4f8"]],
  };
  const classColour = (number) => {
    const known = CLASSES[dark.matches ? "dark" : "light"];
    return known[number % known.length];
  };

  // A colour of the page that a figure names by $.
  function painted(value) {
    if (value === "$sequence") return SEQUENCE[dark.matches ? "dark" : "light"];
    if (typeof value === "string" && /^\$[a-z]+$/.test(value)) return colour(value.slice(1));
    if (Array.isArray(value)) return value.map(painted);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, painted(inner)]));
    }
    return value;
  }

  function layoutOf(own) {
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("muted"), linecolor: colour("line"), automargin: true };
    const layout = {
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow() ? 12 : 13, color: colour("text") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
      margin: { l: 12, r: 12, t: 24, b: 12 },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("text") } },
      ...painted(own),
    };
    layout.xaxis = { ...axis, ...layout.xaxis };
    layout.yaxis = { ...axis, ...layout.yaxis };
    return layout;
  }

  // Charts one after the other, so that the page answers in between; the map is what takes long.
  async function drawFigures() {
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = data.figures[place.dataset.figure];
      Plotly.react(place, painted(figure.data), layoutOf(figure.layout), CONFIG);
      await new Promise((done) => setTimeout(done, 0));
    }
  }

  function fill(select, names, everything) {
    select.replaceChildren(new Option(everything, ""));
    names.forEach((name, number) => select.add(new Option(name, String(number))));
    select.parentElement.hidden = names.length < 2;
  }

  const KINDS = ["labelled by people", "kept", "dropped"];
  const SIGNS = ["diamond", "circle", "x"];
  const map = data.map;
  let shown = [];

  function webgl() {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl"));
    } catch {
      return false;
    }
  }
  const scatter = webgl() ? "scattergl" : "scatter";

  function drawMap() {
    const form = document.getElementById("map-filters");
    const wanted = Object.fromEntries(
      ["label", "method", "kind", "draw"].map((name) => [name, form.elements[name].value]),
    );
    shown = KINDS.map(() => []);
    let count = 0;
    for (let row = 0; row < map.x.length; row += 1) {
      // A person's texts have no method; they stay, so that one sees what lies around them.
      const fits = Object.entries(wanted).every(
        ([name, value]) => value === "" || map[name][row] === Number(value) || (name === "method" && map.kind[row] === 0),
      );
      if (fits) {
        shown[map.kind[row]].push(row);
        count += 1;
      }
    }
    document.getElementById("map-count").textContent =
      `${count.toLocaleString("en")} of ${map.x.length.toLocaleString("en")} texts`;
    const many = map.x.length > 2000;
    const sizes = [narrow() ? 10 : 12, many ? 5 : 7, many ? 4 : 6];
    // Written rows first, so that a person's texts lie on top.
    const traces = [2, 1, 0].map((kind) => ({
      type: scatter, mode: "markers", name: KINDS[kind], customdata: shown[kind], hoverinfo: "none",
      x: shown[kind].map((row) => map.x[row]), y: shown[kind].map((row) => map.y[row]),
      marker: {
        symbol: SIGNS[kind], size: sizes[kind], opacity: [1, 0.75, 0.4][kind],
        color: shown[kind].map((row) => classColour(map.label[row])),
        line: { width: kind === 0 ? 1.5 : 0, color: colour("text") },
      },
    }));
    const axis = { visible: false, automargin: false };
    const layout = layoutOf({
      xaxis: axis, yaxis: { ...axis, scaleanchor: "x" }, hovermode: "closest",
      dragmode: narrow() ? false : "pan", margin: { l: 4, r: 4, t: 4, b: 4 },
    });
    const plot = document.getElementById("map-plot");
    return Plotly.react(plot, traces, layout, { ...CONFIG, scrollZoom: !narrow() });
  }

  function put(parent, tag, text, name) {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    parent.append(element);
    return element;
  }

  function showCard(row) {
    const card = document.getElementById("map-card");
    card.replaceChildren();
    put(card, "p", map.text[row], "said").dir = "auto";
    const list = document.createElement("dl");
    const say = (heading, text) => {
      if (text === "" || text === null || text === undefined) return;
      put(list, "dt", heading);
      put(list, "dd", text);
    };
    const label = (number) => (number < 0 ? "" : map.labels[number]);
    say("rows", KINDS[map.kind[row]]);
    say("label", label(map.label[row]));
    if (map.kind[row] !== 0) {
      say("written for", label(map.written[row]));
      say("judge says", label(map.judged[row]));
      say("sure", map.confidence[row] === null ? "" : `${Math.round(100 * map.confidence[row])} %`);
      const parents = map.parents[row] || [];
      const share = map.ratio[row];
      say("mixed of", share === null ? parents.map(label).join(", ")
        : parents.map((number, place) => `${Math.round(100 * (place ? 1 - share : share))} % ${label(number)}`).join(", "));
      for (const number of map.parent_texts[row] || []) say("parent", map.parents_said[number]);
      say("method", map.methods[map.method[row]]);
      say("round", map.round[row] || "");
      say("dropped for", map.reasons[map.reason[row]]);
    }
    if (map.draws.length > 1) say("draw", map.draws[map.draw[row]]);
    card.append(list);
  }

  function drawKey() {
    const key = document.getElementById("map-key");
    key.replaceChildren();
    put(key, "span", "◆ labelled by people");
    put(key, "span", "● kept");
    put(key, "span", "✕ dropped");
    const most = CLASSES.light.length;
    if (map.labels.length > most) {
      put(key, "span", `${map.labels.length} classes share ${most} colours: choose one above to see it alone`);
      return;
    }
    map.labels.forEach((name, number) => {
      const item = put(key, "span", "");
      put(item, "i", "").style.background = classColour(number);
      item.append(name);
    });
  }

  async function startMap() {
    const form = document.getElementById("map-filters");
    fill(form.elements.label, map.labels, "all");
    fill(form.elements.method, map.methods, "all");
    fill(form.elements.draw, map.draws, "all");
    form.addEventListener("change", drawMap);
    form.addEventListener("submit", (event) => event.preventDefault());
    drawKey();
    await drawMap();
    const plot = document.getElementById("map-plot");
    for (const name of ["plotly_hover", "plotly_click"]) {
      plot.on(name, (event) => showCard(event.points[0].customdata));
    }
  }

  const PAGE = 25;
  const suspects = data.suspects;
  const table = { order: [], page: 0, sort: null, down: false };

  function drawSuspects() {
    const body = document.querySelector("#suspect-table tbody");
    body.replaceChildren();
    const from = table.page * PAGE;
    for (const row of table.order.slice(from, from + PAGE)) {
      const line = document.createElement("tr");
      put(line, "td", suspects.text[row], "said").dir = "auto";
      put(line, "td", suspects.written[row]);
      put(line, "td", suspects.suggested[row]);
      const sure = suspects.confidence[row];
      put(line, "td", sure === null ? "–" : `${Math.round(100 * sure)} %`, "number");
      put(line, "td", suspects.reasons[row]);
      body.append(line);
    }
    const all = table.order.length;
    const pages = Math.max(1, Math.ceil(all / PAGE));
    document.getElementById("suspect-count").textContent =
      `${all.toLocaleString("en")} of ${suspects.text.length.toLocaleString("en")} suspect rows`;
    document.getElementById("suspect-page").textContent = `page ${table.page + 1} of ${pages}`;
    document.getElementById("suspect-back").disabled = table.page === 0;
    document.getElementById("suspect-on").disabled = table.page + 1 >= pages;
  }

  function orderSuspects() {
    const form = document.getElementById("suspect-filters");
    const words = form.elements.words.value.trim().toLowerCase();
    const chosen = ["written", "suggested"].map((name) => [name, form.elements[name].selectedOptions[0]]);
    table.order = [];
    for (let row = 0; row < suspects.text.length; row += 1) {
      const fits = chosen.every(([name, option]) => option.value === "" || suspects[name][row] === option.text);
      if (fits && (!words || suspects.text[row].toLowerCase().includes(words))) table.order.push(row);
    }
    if (table.sort) {
      const values = suspects[table.sort];
      const compare = table.sort === "confidence"
        ? (a, b) => (values[a] ?? -1) - (values[b] ?? -1)
        : (a, b) => values[a].localeCompare(values[b]);
      table.order.sort(table.down ? (a, b) => compare(b, a) : compare);
    }
    table.page = 0;
    drawSuspects();
  }

  function startSuspects() {
    const form = document.getElementById("suspect-filters");
    for (const name of ["written", "suggested"]) {
      fill(form.elements[name], [...new Set(suspects[name])].sort((a, b) => a.localeCompare(b)), "all");
    }
    form.addEventListener("input", orderSuspects);
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const button of document.querySelectorAll("#suspect-table [data-sort]")) {
      button.addEventListener("click", () => {
        table.down = table.sort === button.dataset.sort && !table.down;
        table.sort = button.dataset.sort;
        for (const other of document.querySelectorAll("#suspect-table th")) other.ariaSort = "none";
        button.parentElement.ariaSort = table.down ? "descending" : "ascending";
        orderSuspects();
      });
    }
    const turn = (step) => () => {
      table.page += step;
      drawSuspects();
    };
    document.getElementById("suspect-back").addEventListener("click", turn(-1));
    document.getElementById("suspect-on").addEventListener("click", turn(1));
    orderSuspects();
  }

  async function start() {
    if (suspects && document.getElementById("suspect-table")) startSuspects();
    if (map) await startMap();
    dark.addEventListener("change", () => {
      drawFigures();
      if (map) {
        drawKey();
        drawMap();
      }
    });
    // For tests and measurements: tables and map can be used, then every chart is drawn.
    document.documentElement.dataset.ready = "yes";
    performance.mark("ready");
    await drawFigures();
    document.documentElement.dataset.drawn = "yes";
    performance.mark("drawn");
  }
  start();
})();
