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
import { shifted, unwrapLine, unwrapPolygon, withoutCut, worlds } from './unwrap.mjs';

const ATTRIBUTION = 'Basemap: <a href="https://www.naturalearthdata.com/" target="_blank" rel="noopener">Natural Earth</a>';
const DETAIL_FROM_ZOOM = 5.5;
const LAND = '#f5f3ee';
const WATER = '#dce7ee';

const styles = {
  land: new Style({ fill: new Fill({ color: LAND }) }),
  coast: new Style({ stroke: new Stroke({ color: '#aebfca', width: 1 }) }),
  border: new Style({ stroke: new Stroke({ color: '#cdc8bd', width: 1 }) })
};

// Both scales are files of their own, fetched when a map first needs them and then shared by all maps of the page.
const coarse = once(async () => read(await import(/* webpackChunkName: "basemap-coarse" */ './coarse.json')));
const detailed = once(async () => read(await import(/* webpackChunkName: "basemap-detailed" */ './detailed.json')));

function once(load) {
  let result;
  return () => result || (result = load());
}

function read({ default: topology }) {
  const shapes = new TopoJSON().readFeatures(topology).flatMap((feature) => {
    const kind = feature.get('kind');
    const coordinates = feature.getGeometry().getCoordinates();
    if (kind === 'land') {
      const rings = unwrapPolygon(coordinates);
      return worlds(rings[0]).map((shift) => make(kind, new Polygon(rings.map((ring) => shifted(ring, shift)))));
    }
    return withoutCut(unwrapLine(coordinates)).flatMap((line) =>
      worlds(line).map((shift) => make(kind, new LineString(shifted(line, shift))))
    );
  });
  const names = topology.names.map(([name, lon, lat, minZoom]) => make('name', new Point([lon, lat]), { name, minZoom }));
  return { shapes, names };
}

function make(kind, geometry, properties = {}) {
  return new Feature({ ...properties, kind, geometry: geometry.transform('EPSG:4326', 'EPSG:3857') });
}

function fillFrom(load, part) {
  const source = new VectorSource({
    attributions: ATTRIBUTION,
    loader: async () => {
      try {
        source.addFeatures((await load())[part]);
      } catch (error) {
        console.error('The basemap could not be loaded', error);
      }
    }
  });
  return source;
}

function shapesLayer(load, zooms) {
  return new VectorLayer({
    ...zooms,
    source: fillFrom(load, 'shapes'),
    background: WATER,
    style: (feature) => styles[feature.get('kind')]
  });
}

function namesLayer(map) {
  const text = new Text({
    font: '12px sans-serif',
    fill: new Fill({ color: '#8b8578' }),
    stroke: new Stroke({ color: LAND, width: 3 })
  });
  const style = new Style({ text });
  return new VectorLayer({
    source: fillFrom(coarse, 'names'),
    declutter: true,
    maxZoom: 9,
    style: (feature) => {
      if (map.getView().getZoom() < feature.get('minZoom')) {
        return null;
      }
      text.setText(feature.get('name'));
      return style;
    }
  });
}

export default function createBasemap(_layer, _source, map) {
  return new LayerGroup({
    properties: { title: 'Natural Earth', base: true },
    layers: [
      shapesLayer(coarse, { maxZoom: DETAIL_FROM_ZOOM }),
      shapesLayer(detailed, { minZoom: DETAIL_FROM_ZOOM }),
      namesLayer(map)
    ]
  });
}
