// Turns a copy of STAC Browser's sources, in the current directory, into ours: a few patches, and the basemap's files.
// A patch whose target is not there exactly once stops the build, so an update upstream cannot pass unnoticed.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import GeoJSON from 'ol/format/GeoJSON.js';
import Polygon from 'ol/geom/Polygon.js';
import { feature, meshArcs } from 'topojson-client';

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
    why: 'no validation page either',
    file: 'src/router/index.js',
    find: /routes\.push\(\{\s*path: "\/validation[^]*?\}\);/g,
    put: ''
  }
];

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
function basemap(scale, withNames) {
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
    arcs: source.arcs,
    objects: {
      shapes: {
        type: 'GeometryCollection',
        geometries: [
          ...polygons.map((arcs) => shape('Polygon', arcs, 'land')),
          ...lines('borders', (a, b) => a !== b),
          ...lines('coast', (a, b) => a === b)
        ]
      }
    },
    names: withNames ? names(source) : []
  };
}

// One point inside each country's largest part, and the zoom from which its name has room.
function names(source) {
  return feature(source, source.objects.countries).features.flatMap(({ geometry, properties }) => {
    const shape = new GeoJSON().readGeometry(geometry, { featureProjection: 'EPSG:3857' });
    const parts = shape instanceof Polygon ? [shape] : shape.getPolygons();
    const largest = parts.reduce((a, b) => (a.getArea() > b.getArea() ? a : b));
    const point = largest.getInteriorPoint();
    const [lon, lat] = point.clone().transform('EPSG:3857', 'EPSG:4326').getCoordinates();
    if (lat < -75) {
      return [];
    }
    const room = point.getCoordinates()[2]; // width of the country at that point, in metres of the map
    const needed = properties.name.length * 7;
    const minZoom = Math.max(1, Math.log2((156543 * needed) / room));
    return [[properties.name, round(lon, 2), round(lat, 2), round(minZoom, 1)]];
  });
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}

writeFileSync('basemap/coarse.json', JSON.stringify(basemap('50m', true)));
writeFileSync('basemap/detailed.json', JSON.stringify(basemap('10m', false)));
