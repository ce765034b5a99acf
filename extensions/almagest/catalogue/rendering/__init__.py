"""How an item or a collection is shown when nobody says how, and the links by which map clients find the pictures.

Pure: it reads documents, asks the policy whether an href may be opened, and touches no pixel. What only the pixels can
tell (their type, how bright they are) is left open here and settled by the tiler.
"""

from almagest.catalogue.rendering.choice import default_render, renders
from almagest.catalogue.rendering.links import RELS, collection_links, links
from almagest.catalogue.rendering.render import Render

__all__ = ["RELS", "Render", "collection_links", "default_render", "links", "renders"]
