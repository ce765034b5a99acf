import Feature from 'ol/Feature.js';
import TopoJSON from 'ol/format/TopoJSON.js';
import LineString from 'ol/geom/LineString.js';
import Point from 'ol/geom/Point.js';
import Polygon from 'ol/geom/Polygon.js';
import LayerGroup from 'ol/layer/Group.js';
import VectorLayer from 'ol/layer/Vector.js';
import VectorSource from 'ol/source/Vector.js';
import Fill from 'ol/style/Fill.js';
import Stroke from 'ol/style/Stroke.js';
import Style from 'ol/style/Style.js';
import Text from 'ol/style/Text.js';
import { markRaw } from 'vue';
import { shifted, unwrapLine, unwrapPolygon, withoutCut, worlds } from './unwrap.mjs';

const ATTRIBUTION = 'Basemap: <a href="https://www.naturalearthdata.com/" target="_blank" rel="noopener">Natural Earth</a>';
const DETAIL_BELOW = 3500; // metres a pixel, about zoom 5.5
const LAND = '#f5f3ee';
const WATER = '#dce7ee';

const styles = {
  land: new Style({ fill: new Fill({ color: LAND }) }),
  coast: new Style({ stroke: new Stroke({ color: '#aebfca', width: 1 }) }),
  border: new Style({ stroke: new Stroke({ color: '#cdc8bd', width: 1 }) })
};

// Both scales are files of their own, fetched when a map first needs them. The sources are shared by all maps of the
// page, which are many while one browses.
const coarse = sourceOf(() => import(/* webpackChunkName: "basemap-coarse" */ './coarse.json'));
const detailed = sourceOf(() => import(/* webpackChunkName: "basemap-detailed" */ './detailed.json'));

// A map is a reactive property of a Vue component. Were Vue not told to leave these objects alone (markRaw), it would
// walk through every coordinate.
function sourceOf(load) {
  const source = markRaw(new VectorSource({
    attributions: ATTRIBUTION,
    loader: async () => {
      try {
        source.addFeatures(await read(await load()));
      } catch (error) {
        console.error('The basemap could not be loaded', error);
      }
    }
  }));
  return source;
}

async function read({ default: topology }) {
  const features = [];
  let pause = performance.now() + 30;
  for (const feature of new TopoJSON().readFeatures(topology)) {
    features.push(...flat(feature.get('kind'), feature.getGeometry().getCoordinates()));
    if (performance.now() > pause) {
      await new Promise((resolve) => setTimeout(resolve)); // let the page breathe
      pause = performance.now() + 30;
    }
  }
  for (const [name, lon, lat, upTo] of topology.names) {
    features.push(make('name', new Point([lon, lat]), { name, upTo }));
  }
  return features;
}

function flat(kind, coordinates) {
  if (kind === 'land') {
    const rings = unwrapPolygon(coordinates);
    return worlds(rings[0]).map((shift) => make(kind, new Polygon(rings.map((ring) => shifted(ring, shift)))));
  }
  return withoutCut(unwrapLine(coordinates)).flatMap((line) =>
    worlds(line).map((shift) => make(kind, new LineString(shifted(line, shift))))
  );
}

function make(kind, geometry, properties = {}) {
  return new Feature({ ...properties, kind, geometry: geometry.transform('EPSG:4326', 'EPSG:3857') });
}

// The coarse shapes stay until the detailed ones are there to take their place.
function coarseLayer() {
  const layer = markRaw(new VectorLayer({
    source: coarse,
    background: WATER,
    style: (feature, resolution) =>
      resolution < DETAIL_BELOW && !detailed.isEmpty() ? null : styles[feature.get('kind')]
  }));
  if (detailed.isEmpty()) {
    detailed.once('change', () => layer.changed());
  }
  return layer;
}

function detailedLayer() {
  return markRaw(new VectorLayer({
    source: detailed,
    maxResolution: DETAIL_BELOW,
    style: (feature) => styles[feature.get('kind')]
  }));
}

function namesLayer() {
  const text = new Text({
    font: '12px sans-serif',
    fill: new Fill({ color: '#8b8578' }),
    stroke: new Stroke({ color: LAND, width: 3 })
  });
  const style = new Style({ text });
  return markRaw(new VectorLayer({
    source: coarse,
    declutter: true,
    maxZoom: 9,
    style: (feature, resolution) => {
      if (!(resolution < feature.get('upTo'))) {
        return null; // too small for its name, or no country
      }
      text.setText(feature.get('name'));
      return style;
    }
  }));
}

export default function createBasemap() {
  return markRaw(new LayerGroup({
    properties: { title: 'Natural Earth', base: true },
    layers: [coarseLayer(), detailedLayer(), namesLayer()]
  }));
}
