"""Settings of the documentation, which ``make docs`` builds.

The source folder is the repository itself: the README and those of the methods are pages as they
are, and a relative link means the same here and on GitHub.
"""

from mmcv.transforms.utils import cache_randomness
from sphinx.util.nodes import make_refnode

import mmseg_imbalance

project = 'mmseg_imbalance'
version = release = mmseg_imbalance.__version__
root_doc = 'docs/index'
include_patterns = ['*.md', 'configs/*/README.md', 'docs/**.md', 'lab/README.md']
exclude_patterns = ['.*', 'build', 'data', 'dist', 'docs/_build', 'mmseg_imbalance', 'work_dirs']

extensions = [
    'myst_parser',
    'sphinx-mathjax-offline',  # formulas render without a network
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
]
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3

autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# make docs turns warnings into errors. Not to be found here are names of other packages, and what
# the text of a Returns or Args section looks like to napoleon: of names without a dot, only those
# in CamelCase have to be ours.
nitpicky = True
nitpick_ignore_regex = [
    ('py:.*', r'(argparse|collections|matplotlib|mmcv|mmengine|mmseg|numpy|np|pathlib|torch)\..*'),
    ('py:(data|attr)', r'\w+'),  # constants and attributes, which have no entry of their own
    ('py:class', r'mmseg_imbalance\.utils\.workers\.(Job|Result)'),  # type variables
    ('py:class', r'(?![A-Z]\w*[a-z]\w*$)[^.]*'),
]

html_theme = 'furo'
html_title = f'mmseg_imbalance {release}'
html_show_sourcelink = False
html_css_files = ['pages.css']
html_static_path = ['_static']
templates_path = ['_templates']
html_additional_pages = {'index': 'to_contents.html'}

# mmcv's decorator can be read from an instance only; autodoc reads classes.
_get_of_instance = cache_randomness.__get__
cache_randomness.__get__ = lambda self, instance, owner: (
    self.func if instance is None else _get_of_instance(self, instance, owner)
)


def link_short_name(app, env, node, contnode):
    """Links a name without its module, or with a package's, where one object is called so."""
    if node.get('refdomain') != 'py':
        return None
    objects = env.get_domain('py').objects
    target = node['reftarget']
    short = target.rpartition('.')[2] if target.startswith(f'{project}.') else target
    found = {(e.docname, e.node_id) for name, e in objects.items() if name.endswith(f'.{short}')}
    if len(found) != 1:
        return None
    return make_refnode(app.builder, node['refdoc'], *found.pop(), contnode)


def skip_aliases(app, what, name, obj, skip, options):
    """Leaves out a named tuple's fields, which its own docstring explains."""
    return True if str(getattr(obj, '__doc__', '')).startswith('Alias for field number') else None


def setup(app):
    """Registers the handlers above."""
    app.connect('missing-reference', link_short_name)
    app.connect('autodoc-skip-member', skip_aliases)
