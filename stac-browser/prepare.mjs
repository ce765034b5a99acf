// Turns a copy of STAC Browser's sources, in the current directory, into ours: a few patches, the basemap's files and
// Swagger UI. A patch whose target is not there exactly once stops the build, so an update upstream cannot pass
// unnoticed.
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { douglasPeucker } from 'ol/geom/flat/simplify.js';
import Polygon from 'ol/geom/Polygon.js';
import { feature, meshArcs } from 'topojson-client';
import { unwrapPolygon } from './basemap/unwrap.mjs';

const require = createRequire(import.meta.url);

const PATCHES = [
  {
    why: 'load the runtime settings, show our icon',
    file: 'public/index.html',
    find: /<!--\s*(<script[^>]*src="\/config\.js"><\/script>)\s*-->/g,
    put: '$1\n    <link rel="icon" type="image/svg+xml" href="/almagest.svg">'
  },
  {
    why: 'items on a collection map obey getMapSourceOptions too',
    file: 'src/components/Map.vue',
    find: /(displayPreview: this\.children && this\.children\.isItemCollection\(\))/g,
    put: '$1,\n        getSourceOptions: this.getMapSourceOptions'
  },
  {
    why: 'the map takes the keyboard: arrows move it, plus and minus zoom',
    file: 'src/components/Map.vue',
    find: /(<div ref="map" class="map" :id="mapId")>/g,
    put: '$1 tabindex="0" role="application" :aria-label="$$t(\'map\')">'
  },
  {
    why: 'of a box across the antimeridian west is the greater number',
    file: 'src/components/Map.vue',
    find: /<script>\n/g,
    put: `$&import { transformExtent } from 'ol/proj.js';

const across = (layer) => {
  const box = layer.getData()?.getBoundingBox?.();
  return box?.length === 4 && box[0] > box[2] ? [box[0], box[1], box[2] + 360, box[3]] : null;
};

`
  },
  {
    why: 'so it is no empty one to zoom to',
    file: 'src/components/Map.vue',
    find: /const extent = (this\.stacLayer\.getExtent\(\));/g,
    put: `const box = across(this.stacLayer);
      const extent = box ? transformExtent(box, 'EPSG:4326', this.map.getView().getProjection()) : $1;`
  },
  {
    why: 'and there is something to see',
    file: 'src/components/Map.vue',
    find: /this\.empty = (this\.stacLayer\.isEmpty\(\));/g,
    put: 'this.empty = $1 && !across(this.stacLayer);'
  },
  {
    why: 'our name stays in one line on a telephone',
    file: 'src/theme/page.scss',
    find: /font-size: 1\.5rem;(\s*font-weight: 600;)/g,
    put: 'font-size: clamp(1.1rem, 5vw, 1.5rem);$1'
  },
  {
    why: 'the same inputs give the same file names wherever they are built',
    file: 'vue.config.js',
    find: /configureWebpack: \{/g,
    put: '$&\n    optimization: { realContentHash: true },'
  },
  {
    why: 'ask the settings whether an asset may be shown on the map',
    file: 'src/components/HrefActions.vue',
    find: /(if \(typeof this\.data\?\.type !== 'string')(\) \{\s*return false;)/g,
    put: '$1 || this.$$store.state.canShowOnMap?.(this.data) === false$2'
  },
  {
    why: 'no validation: it fetches schemas from other origins and compiles code at run time',
    file: 'src/components/Source.vue',
    find: /<b-row class="stac-valid">[^]*?<\/b-row>/g,
    put: ''
  },
  {
    why: 'the basemap is named on the map, not behind a button',
    file: 'src/components/maps/MapMixin.js',
    find: /new AttributionControl\(\{/g,
    put: '$&\n        collapsible: false,'
  },
  {
    why: 'an xyz link is a template: as a link to click it would lead nowhere',
    file: 'src/rels.js',
    find: /'icon', \/\/ Other/g,
    put: "'xyz',\n  $&"
  },
  {
    why: 'the latest version is not outdated because it says that it is the latest',
    file: 'src/components/DeprecationMixin.js',
    find: /return (this\.data\.getStacLinkWithRel\('latest-version'\));/g,
    put: "const link = $1;\n      return link?.href === this.data.getStacLinkWithRel('self')?.href ? null : link;"
  },
  {
    why: 'no validation page either',
    file: 'src/router/index.js',
    find: /routes\.push\(\{\s*path: "\/validation[^]*?\}\);/g,
    put: ''
  }
];

// The sign upstream puts on its full-screen buttons is in few fonts.
for (const locale of readdirSync('src/locales')) {
  const file = `src/locales/${locale}/texts.json`;
  if (existsSync(file) && readFileSync(file, 'utf8').includes('⛶')) {
    PATCHES.push({ why: 'full-screen sign', file, find: /⛶/g, put: '⤢' });
  }
}

for (const { why, file, find, put } of PATCHES) {
  const text = readFileSync(file, 'utf8');
  const found = text.match(find)?.length ?? 0;
  if (found !== 1) {
    throw new Error(`${file}: the text to patch (${why}) is there ${found} times, expected once`);
  }
  writeFileSync(file, text.replace(find, put));
}

// Streamed downloads through a service worker: only for assets that need request headers, which ours do not.
rmSync('public/sw.js');
rmSync('public/mitm.html');

// Natural Earth, two scales: land to fill, coasts and borders to draw, and in the coarse one the names of countries.
function basemap(scale, tolerance, withNames) {
  const source = require(`world-atlas/countries-${scale}.json`);
  const { countries, land } = source.objects;
  const shape = (type, arcs, kind) => ({ type, arcs, properties: { kind } });
  const geometries = land.geometries ?? [land];
  const polygons = geometries.flatMap((g) => (g.type === 'Polygon' ? [g.arcs] : g.arcs));
  const lines = (kind, keep) =>
    meshArcs(source, countries, keep).arcs.map((arcs) => shape('LineString', arcs, kind));
  return {
    type: 'Topology',
    transform: source.transform,
    arcs: source.arcs.map((arc) => simplified(arc, source.transform, tolerance)),
    objects: {
      shapes: {
        type: 'GeometryCollection',
        geometries: [
          ...polygons.map((arcs) => shape('Polygon', arcs, 'land')),
          ...lines('border', (a, b) => a !== b),
          ...lines('coast', (a, b) => a === b)
        ]
      }
    },
    names: withNames ? names(source) : []
  };
}

// An arc (steps on the file's integer grid) without the points that bend it by less than `tolerance` degrees.
function simplified(arc, { scale: [dx, dy] }, tolerance) {
  let [x, y] = [0, 0];
  const flat = arc.flatMap(([stepX, stepY]) => [(x += stepX) * dx, (y += stepY) * dy]);
  const kept = [];
  kept.length = douglasPeucker(flat, 0, flat.length, 2, tolerance ** 2, kept, 0);
  if (kept.length < 8) {
    return arc; // a small island needs its few points
  }
  [x, y] = [0, 0];
  const steps = [];
  for (let i = 0; i < kept.length; i += 2) {
    const [toX, toY] = [Math.round(kept[i] / dx), Math.round(kept[i + 1] / dy)];
    steps.push([toX - x, toY - y]);
    [x, y] = [toX, toY];
  }
  return steps;
}

// One point inside each country's largest part, and the resolution (metres a pixel) up to which its name has room.
function names(source) {
  return feature(source, source.objects.countries).features.flatMap(({ geometry, properties }) => {
    const polygons = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
    const parts = polygons.map((rings) => new Polygon(unwrapPolygon(rings)).transform('EPSG:4326', 'EPSG:3857'));
    const largest = parts.reduce((a, b) => (a.getArea() > b.getArea() ? a : b));
    const point = largest.getInteriorPoint();
    const [, , room] = point.getCoordinates(); // how wide the country is there, in metres of the map
    const [lon, lat] = point.transform('EPSG:3857', 'EPSG:4326').getCoordinates();
    const needed = properties.name.length * 7; // pixels
    // Antarctica has no middle on this map.
    return lat < -80 ? [] : [[properties.name, round(lon, 2), round(lat, 2), Math.round(room / needed)]];
  });
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}

writeFileSync('basemap/coarse.json', JSON.stringify(basemap('50m', 0.01, true)));
writeFileSync('basemap/detailed.json', JSON.stringify(basemap('10m', 0.005, false)));

// Swagger UI as published, with its licences; public/swagger/init.js, which starts it, is ours.
const bundle = 'swagger-ui-bundle.js';
for (const name of [bundle, `${bundle}.LICENSE.txt`, 'swagger-ui.css', 'LICENSE', 'NOTICE']) {
  copyFileSync(`node_modules/swagger-ui-dist/${name}`, `public/swagger/${name}`);
}
