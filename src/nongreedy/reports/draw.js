"use strict";
(() => {
  const root = document.documentElement;
  const content = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  // Figures come in the colours of the light scheme; every colour has a twin for the dark one.
  const recoloured = (value, twins) => {
    if (typeof value === "string") return Object.hasOwn(twins, value) ? twins[value] : value;
    if (Array.isArray(value)) return value.map((part) => recoloured(part, twins));
    if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, recoloured(v, twins)]));
  };

  const base = (layout, isDark, width) => {
    const grid = isDark ? "#2b333e" : "#e7eaee", ink = isDark ? "#9aa6b5" : "#5d6877";
    const axis = { gridcolor: grid, zerolinecolor: isDark ? "#4a5563" : "#b9c1cb", linecolor: grid,
      automargin: true, fixedrange: matchMedia("(pointer: coarse)").matches };
    const title = (given) => ({ ...given, standoff: 8, font: { size: 13 } });
    return {
      ...layout,
      width,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: ink },
      margin: { l: 10, r: 12, t: layout.showlegend ? 34 : 14, b: 10 },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" },
      hoverlabel: { bgcolor: isDark ? "#1a2029" : "#ffffff", font: { color: isDark ? "#e3e8ee" : "#1b2430" } },
      xaxis: { ...axis, showgrid: false, zeroline: false, ticks: "outside", tickcolor: grid, showline: true,
        ...layout.xaxis, title: title(layout.xaxis.title) },
      yaxis: { zeroline: false, ...axis, ...layout.yaxis, title: title(layout.yaxis.title) },
    };
  };

  const drawn = async (key) => {
    const box = document.getElementById(key), { data, layout, choices } = content.figures[key];
    const isDark = dark.matches && !printing;
    const traces = recoloured(data, isDark ? content.dark : {});
    const shown = box.dataset.chosen && choices[box.dataset.chosen];
    if (shown) traces.forEach((trace, index) => { trace.visible = shown.includes(index); });
    const width = printing ? 620 : undefined;  // fits on paper of either size
    const shape = recoloured(base(layout, isDark, width), isDark ? content.dark : {});
    await Plotly.react(box, traces, shape, { responsive: !printing, displaylogo: false,
      displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"] });
  };
  const all = () => Promise.all(Object.keys(content.figures).map(drawn));

  for (const select of document.querySelectorAll("select[data-plots]")) {
    select.addEventListener("change", () => {
      for (const key of select.dataset.plots.split(" ")) {
        document.getElementById(key).dataset.chosen = select.value;
        drawn(key);
      }
    });
  }
  dark.addEventListener("change", all);
  addEventListener("beforeprint", () => { printing = true; all(); });
  addEventListener("afterprint", () => { printing = false; all(); });
  all().then(() => { root.dataset.drawn = Object.keys(content.figures).length; });
})();
