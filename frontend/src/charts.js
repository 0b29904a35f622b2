// Draws what a table says. Every chart is a <figure data-chart="bars|columns|lines|ring"> around a table that is its text
// alternative and its only source of numbers: rows are categories, columns after the first are series. A row or a column head
// may name its colour with data-tone. Without this script the table is shown.
//
// Canvas and rich-text tooltips only: the page's content security policy allows no style attribute in markup.

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

function colour(variable) {
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

function toneColour(tone) {
  if (tone === "primary") return colour("--color-primary");
  if (tone === "go") return colour("--go");
  return colour(`--sev-${tone || "unknown"}`);
}

function readTable(table) {
  const heads = [...table.tHead.rows[0].cells].slice(1);
  const rows = [...table.tBodies[0].rows];
  return {
    categories: rows.map((row) => row.cells[0].textContent.trim()),
    rowTones: rows.map((row) => row.dataset.tone),
    links: rows.map((row) => row.querySelector("a")?.href),
    series: heads.map((head, index) => ({
      name: head.textContent.trim(),
      tone: head.dataset.tone,
      values: rows.map((row) => Number(row.cells[index + 1].dataset.value ?? row.cells[index + 1].textContent)),
    })),
  };
}

function look() {
  const ink = colour("--color-base-content");
  const muted = colour("--muted");
  const line = colour("--hairline");
  const font = getComputedStyle(document.body).fontFamily;
  return {
    ink,
    muted,
    line,
    text: { color: muted, fontFamily: font, fontSize: 12 },
    tooltip: {
      renderMode: "richText",
      valueFormatter: (value) => number.format(value),
      backgroundColor: colour("--color-base-100"),
      borderColor: colour("--color-base-300"),
      borderWidth: 1,
      padding: [6, 10],
      textStyle: { color: ink, fontFamily: font, fontSize: 12 },
    },
  };
}

function ring(data, style) {
  const [series] = data.series;
  return {
    tooltip: { ...style.tooltip, trigger: "item" },
    series: [
      {
        type: "pie",
        radius: ["62%", "92%"],
        label: { show: false },
        emphasis: { scale: false },
        itemStyle: { borderColor: colour("--color-base-100"), borderWidth: 2, borderRadius: 3 },
        data: data.categories.map((name, i) => ({
          name,
          value: series.values[i],
          itemStyle: { color: toneColour(data.rowTones[i]) },
        })),
      },
    ],
  };
}

function bars(data, style) {
  return {
    grid: { left: 0, right: 44, top: 4, bottom: 0, containLabel: true },
    tooltip: { ...style.tooltip, trigger: "item" },
    xAxis: { type: "value", show: false },
    yAxis: {
      type: "category",
      inverse: true,
      data: data.categories,
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { ...style.text, color: style.ink, width: 150, overflow: "truncate" },
    },
    series: data.series.map((series) => ({
      type: "bar",
      name: series.name,
      barMaxWidth: 14,
      itemStyle: { borderRadius: 3 },
      label: { show: true, position: "right", ...style.text, color: style.ink, formatter: ({ value }) => number.format(value) },
      data: series.values.map((value, i) => ({ value, itemStyle: { color: toneColour(data.rowTones[i] ?? series.tone) } })),
    })),
  };
}

function overTime(data, style, type) {
  return {
    grid: { left: 4, right: 12, top: data.series.length > 1 ? 30 : 10, bottom: 0, containLabel: true },
    legend: { show: data.series.length > 1, top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, textStyle: style.text },
    tooltip: { ...style.tooltip, trigger: "axis", axisPointer: { type: "line", lineStyle: { color: style.muted } } },
    xAxis: {
      type: "category",
      boundaryGap: type === "bar",
      data: data.categories,
      axisLine: { lineStyle: { color: style.line } },
      axisTick: { show: false },
      axisLabel: { ...style.text, hideOverlap: true },
    },
    yAxis: {
      type: "value",
      minInterval: 1,
      splitNumber: 3,
      axisLabel: { ...style.text, formatter: (value) => number.format(value) },
      splitLine: { lineStyle: { color: style.line } },
    },
    series: data.series.map((series) => ({
      type,
      name: series.name,
      stack: type === "bar" ? "all" : undefined,
      barMaxWidth: 22,
      step: type === "line" ? "end" : undefined,
      symbol: "circle",
      symbolSize: 6,
      showSymbol: data.categories.length < 25,
      lineStyle: { width: 2 },
      itemStyle: { color: toneColour(series.tone) },
      data: series.values,
    })),
  };
}

const number = new Intl.NumberFormat("en");

const KINDS = {
  ring,
  bars,
  columns: (data, style) => overTime(data, style, "bar"),
  lines: (data, style) => overTime(data, style, "line"),
};

function draw(figure) {
  const table = figure.querySelector("table");
  const data = readTable(table);
  let canvas = figure.querySelector(".chart-canvas");
  if (!canvas) {
    canvas = document.createElement("div");
    canvas.className = "chart-canvas";
    canvas.setAttribute("aria-hidden", "true");
    table.parentElement.before(canvas);
    figure.dataset.drawn = "";
  }
  const chart = echarts.getInstanceByDom(canvas) ?? echarts.init(canvas, null, { renderer: "canvas" });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  chart.setOption({ animation: !still, animationDuration: 350, ...KINDS[figure.dataset.chart](data, look()) }, true);
  chart.off("click");
  chart.on("click", (event) => {
    const link = data.links[event.dataIndex];
    if (link) location.assign(link);
  });
}

function drawAll(within = document) {
  for (const figure of within.querySelectorAll("figure[data-chart]")) draw(figure);
}

const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const canvas = target.querySelector(".chart-canvas");
    if (canvas) echarts.getInstanceByDom(canvas)?.resize();
  }
});

drawAll();
for (const figure of document.querySelectorAll("figure[data-chart]")) watcher.observe(figure);
document.addEventListener("antivenom:theme", () => drawAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
document.fonts.ready.then(() => drawAll());
