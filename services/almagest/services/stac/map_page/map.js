// Draws the grid of an aggregation on a flat map of the world, and asks again where one zooms in.
'use strict';

const at = (id) => document.getElementById(id);
const canvas = at('map');
const view = { lon: 0, lat: 0, zoom: 0 }; // the whole world is 360 degrees wide at zoom 0
let land = [];
let cells = [];
let asked = 0;
let pointer = null;

const night = matchMedia('(prefers-color-scheme: dark)');
const ramp = ['#ffe9a8', '#fbc25e', '#f28b3c', '#d6503a', '#9c2454', '#4b1a5c'];
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const number = new Intl.NumberFormat('en');

function scale() { // pixels a degree
  return canvas.width / 360 * 2 ** view.zoom;
}

function toScreen(lon, lat) {
  return [canvas.width / 2 + (lon - view.lon) * scale(), canvas.height / 2 - (lat - view.lat) * scale()];
}

function toWorld(x, y) {
  return [view.lon + (x - canvas.width / 2) / scale(), view.lat - (y - canvas.height / 2) / scale()];
}

function settle() { // no further out than the world
  view.zoom = Math.min(10, Math.max(0, view.zoom));
  const wide = 180 - 180 / 2 ** view.zoom;
  const high = Math.max(0, 90 - canvas.height / scale() / 2);
  view.lon = Math.min(wide, Math.max(-wide, view.lon));
  view.lat = Math.min(high, Math.max(-high, view.lat));
}

// West, south, east, north of a cell.
function boxOf(key) {
  if (key.includes('/')) {
    const [zoom, x, y] = key.split('/').map(Number);
    const n = 2 ** zoom;
    const lat = (row) => Math.atan(Math.sinh(Math.PI * (1 - 2 * row / n))) * 180 / Math.PI;
    return [x / n * 360 - 180, lat(y + 1), (x + 1) / n * 360 - 180, lat(y)];
  }
  const box = [-180, -90, 180, 90];
  let turn = 0;
  for (const letter of key) {
    const value = '0123456789bcdefghjkmnpqrstuvwxyz'.indexOf(letter);
    for (let bit = 4; bit >= 0; bit -= 1, turn = 1 - turn) {
      const half = (box[turn] + box[turn + 2]) / 2;
      box[value >> bit & 1 ? turn : turn + 2] = half;
    }
  }
  return box;
}

function palette() { // what is most stands out most from the ground
  return night.matches ? [...ramp].reverse() : ramp;
}

function colour(frequency, most, colours) {
  const share = most > 1 ? Math.log(frequency) / Math.log(most) : 0.5;
  return colours[Math.min(colours.length - 1, Math.floor(share * colours.length))];
}

function draw() {
  const context = canvas.getContext('2d');
  context.fillStyle = style('--water');
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.beginPath();
  for (const ring of land) {
    for (let n = 0; n < ring.length; n += 2) {
      const [x, y] = toScreen(ring[n] / 10, ring[n + 1] / 10);
      n ? context.lineTo(x, y) : context.moveTo(x, y);
    }
    context.closePath();
  }
  context.fillStyle = style('--land');
  context.fill('evenodd');
  const most = Math.max(1, ...cells.map((cell) => cell.frequency));
  context.globalAlpha = 0.78;
  const colours = palette();
  for (const cell of cells) {
    const [left, top] = toScreen(cell.box[0], cell.box[3]);
    const [right, bottom] = toScreen(cell.box[2], cell.box[1]);
    context.fillStyle = colour(cell.frequency, most, colours);
    context.fillRect(left, top, Math.max(1, right - left - 1), Math.max(1, bottom - top - 1));
  }
  context.globalAlpha = 1;
  context.strokeStyle = style('--coast');
  context.lineWidth = devicePixelRatio;
  context.stroke();
}

function precision() {
  const detail = Number(at('detail').value);
  if (at('grid').value === 'geohash') {
    return Math.min(12, Math.max(1, 2 + detail + Math.floor(view.zoom / 2.5)));
  }
  return Math.min(29, Math.max(0, 5 + detail + Math.floor(view.zoom)));
}

function address() {
  const name = `centroid_${at('grid').value}_grid_frequency`;
  const parameters = new URLSearchParams({
    aggregations: `total_count,datetime_min,datetime_max,datetime_frequency,${name}`, [`${name}_precision`]: precision()
  });
  if (view.zoom >= 1) { // else everything is in sight, and is counted beforehand
    const [west, north] = toWorld(0, 0);
    const [east, south] = toWorld(canvas.width, canvas.height);
    const box = [Math.max(-180, west), Math.max(-90, south), Math.min(180, east), Math.min(90, north)];
    parameters.set('bbox', box.map((value) => value.toFixed(4)).join(','));
  }
  const chosen = at('collection').value;
  return `${chosen ? `collections/${encodeURIComponent(chosen)}/` : ''}aggregate?${parameters}`;
}

async function ask() {
  const turn = asked += 1;
  at('told').textContent = 'Counting …';
  try {
    const answer = await fetch(address(), { headers: { accept: 'application/json' } });
    const document = await answer.json();
    if (turn !== asked) {
      return; // somebody has moved on meanwhile
    }
    if (!answer.ok) {
      throw new Error(document.detail || document.title);
    }
    show(Object.fromEntries(document.aggregations.map((one) => [one.name.replace(/_geo.*_grid/, ''), one])));
  } catch (error) {
    if (turn === asked) {
      at('told').textContent = `It could not be counted: ${error.message}`;
    }
  }
}

function show(found) {
  const grid = found.centroid_frequency;
  cells = grid.buckets.map(({ key, frequency }) => ({ key, frequency, box: boxOf(key) }));
  const total = number.format(found.total_count.value);
  const left = grid.overflow ? `, ${number.format(grid.overflow)} of them in further cells` : '';
  at('told').textContent = `${total} items in ${number.format(cells.length)} cells${left}`;
  legend();
  bars(found.datetime_frequency, found.datetime_min.value, found.datetime_max.value);
  at('cells').replaceChildren(...cells.slice(0, 10).map((cell) => {
    const row = document.createElement('tr');
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = cell.key;
    button.addEventListener('click', () => into(cell));
    row.insertCell().append(button);
    row.insertCell().textContent = cell.box.map((value) => value.toFixed(1)).join(', ');
    const last = row.insertCell();
    last.className = 'number';
    last.textContent = number.format(cell.frequency);
    return row;
  }));
  draw();
}

function legend() {
  const most = Math.max(1, ...cells.map((cell) => cell.frequency));
  const bar = document.createElement('canvas');
  const colours = palette();
  bar.width = colours.length;
  bar.height = 1;
  colours.forEach((value, n) => {
    const context = bar.getContext('2d');
    context.fillStyle = value;
    context.fillRect(n, 0, 1, 1);
  });
  at('legend').replaceChildren('1', bar, number.format(most));
}

function bars(frequency, first, last) {
  const every = frequency.buckets;
  const svg = at('bars');
  const unit = frequency.data_type.replace('interval_', '');
  at('when').textContent = `When, by ${unit}`;
  at('first').textContent = first ? first.slice(0, 10) : 'nothing';
  at('last').textContent = last ? last.slice(0, 10) : '';
  const most = Math.max(1, ...every.map((bucket) => bucket.frequency));
  const times = every.map((bucket) => Date.parse(bucket.key));
  const width = { day: 1, month: 30.4, year: 365.25 }[unit] * 86400000;
  const start = times[0];
  const span = times[times.length - 1] - start + width;
  svg.setAttribute('viewBox', '0 0 1000 100');
  svg.replaceChildren(...every.map((bucket, n) => {
    const bar = document.createElementNS(svg.namespaceURI, 'rect');
    const height = 94 * bucket.frequency / most;
    const place = { x: (times[n] - start) / span * 1000, y: 100 - height, width: Math.max(1, width / span * 1000 - 1), height };
    Object.entries(place).forEach(([name, value]) => bar.setAttribute(name, value));
    const title = document.createElementNS(svg.namespaceURI, 'title');
    title.textContent = `${bucket.key.slice(0, 10)}: ${number.format(bucket.frequency)}`;
    bar.append(title);
    return bar;
  }));
}

let waiting = 0;
function moved() {
  settle();
  draw();
  clearTimeout(waiting);
  waiting = setTimeout(ask, 250);
}

function into(cell) {
  view.lon = (cell.box[0] + cell.box[2]) / 2;
  view.lat = (cell.box[1] + cell.box[3]) / 2;
  view.zoom += 1.5;
  moved();
}

function zoomAt(x, y, by) {
  const [lon, lat] = toWorld(x, y);
  view.zoom = Math.min(10, Math.max(0, view.zoom + by));
  const [after, above] = toWorld(x, y);
  view.lon += lon - after;
  view.lat += lat - above;
  moved();
}

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

function cellAt(x, y) {
  const [lon, lat] = toWorld(x, y);
  return cells.find(({ box }) => lon >= box[0] && lon < box[2] && lat >= box[1] && lat < box[3]);
}

function tip(event) {
  const cell = cellAt(...placeOf(event));
  at('tip').hidden = !cell;
  if (cell) {
    const box = canvas.getBoundingClientRect();
    at('tip').textContent = `${cell.key}: ${number.format(cell.frequency)}`;
    at('tip').style.left = `${Math.min(event.clientX - box.left + 14, box.width - 150)}px`;
    at('tip').style.top = `${event.clientY - box.top + 14}px`;
  }
}

canvas.addEventListener('pointerdown', (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointer = { from: placeOf(event), lon: view.lon, lat: view.lat, dragged: false };
});
canvas.addEventListener('pointermove', (event) => {
  if (!pointer) {
    tip(event);
    return;
  }
  const [x, y] = placeOf(event);
  pointer.dragged ||= Math.hypot(x - pointer.from[0], y - pointer.from[1]) > 4;
  if (pointer.dragged) {
    view.lon = pointer.lon - (x - pointer.from[0]) / scale();
    view.lat = pointer.lat + (y - pointer.from[1]) / scale();
    moved();
  }
});
canvas.addEventListener('pointerup', (event) => {
  const cell = pointer && !pointer.dragged && cellAt(...placeOf(event));
  pointer = null;
  if (cell) {
    into(cell);
  }
});
canvas.addEventListener('pointerleave', () => { at('tip').hidden = true; });
canvas.addEventListener('wheel', (event) => {
  event.preventDefault();
  zoomAt(...placeOf(event), -event.deltaY / 400);
}, { passive: false });
canvas.addEventListener('keydown', (event) => {
  const step = 40 / 2 ** view.zoom;
  const moves = {
    ArrowLeft: () => { view.lon -= step; }, ArrowRight: () => { view.lon += step; },
    ArrowUp: () => { view.lat += step / 2; }, ArrowDown: () => { view.lat -= step / 2; },
    '+': () => { view.zoom += 0.5; }, '=': () => { view.zoom += 0.5; }, '-': () => { view.zoom -= 0.5; },
    0: () => Object.assign(view, { lon: 0, lat: 0, zoom: 0 })
  };
  if (moves[event.key] && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    moves[event.key]();
    moved();
  }
});
at('in').addEventListener('click', () => { view.zoom += 1; moved(); });
at('out').addEventListener('click', () => { view.zoom -= 1; moved(); });
at('home').addEventListener('click', () => { Object.assign(view, { lon: 0, lat: 0, zoom: 0 }); moved(); });
at('form').addEventListener('change', moved);
at('form').addEventListener('submit', (event) => event.preventDefault());
night.addEventListener('change', () => { legend(); draw(); });

function resize() {
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  settle();
  draw();
}
new ResizeObserver(resize).observe(canvas);

async function begin() {
  resize();
  fetch('map/land.json').then((answer) => answer.json()).then((rings) => { land = rings; draw(); }).catch(() => {});
  ask();
  try {
    const answer = await fetch('collections?limit=1000&fields=id,title&sortby=id');
    for (const { id, title } of (await answer.json()).collections) {
      at('collection').add(new Option(title || id, id));
    }
  } catch {
    // One can still look at all of them.
  }
}
begin();
