"""Puts every mutant that cargo-mutants lists into one copy of the core, to be chosen when a test starts.

A mutant's place in the list is its number. Those in a constant become a constant of their own, which functions use
instead; where the compiler uses the first one, nothing changes.
"""

import collections
import pathlib
import shutil

import tree_sitter
import tree_sitter_rust

CALL = "crate::planted::lives"
# The constants that have mutants, by name: a number, the file, and the type that each belongs to.
CONSTANTS = collections.defaultdict(list)


class File:
    """A source file, and what is to be put into it."""

    def __init__(self, path):
        self.module = path.parent.name if path.name == "mod.rs" else path.stem
        self.source = path.read_bytes()
        self.lines = [0]
        for line in self.source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        language = tree_sitter.Language(tree_sitter_rust.language())
        self.tree = tree_sitter.Parser(language).parse(self.source)
        self.planted = collections.defaultdict(list)
        self.constants = collections.defaultdict(list)
        self.uses = {}

    def offset(self, place):
        """The octet at a line and column, both counted from one, the column in characters."""
        start = self.lines[place["line"] - 1]
        line = self.source[start : self.lines[place["line"]]].decode()
        return start + len(line[: place["column"] - 1].encode())

    def node(self, span):
        """The smallest node that covers a span."""
        return self.tree.root_node.descendant_for_byte_range(self.offset(span["start"]), self.offset(span["end"]))

    def plant(self, number, mutant):
        """Notes a mutant at its node. Whether there is a way to choose it when the program runs."""
        genre = mutant["genre"]
        node = self.node(mutant["span"])
        if genre == "FnValue":
            while node and node.type != "function_item":
                node = node.parent
            node = node and node.child_by_field_name("body")
        elif genre in ("BinaryOperator", "UnaryOperator"):
            node = node.parent
            kinds = ("binary_expression", "compound_assignment_expr", "unary_expression")
            if node.type not in kinds:
                return False
            if is_constant(node):
                return self.plant_constant(number, mutant, node)
            # Another operator may bind otherwise: what stands around it is read anew.
            while genre == "BinaryOperator" and node.parent.type == "binary_expression":
                node = node.parent
        elif genre == "MatchArmGuard":
            while node and node.type != "match_pattern":
                node = node.parent
            node = node and node.child_by_field_name("condition")
        elif genre == "MatchArm":
            while node and node.type != "match_arm":
                node = node.parent
            node = node and node.child_by_field_name("pattern")
        elif genre == "StructField":
            node = self.node({"start": mutant["span"]["start"], "end": mutant["span"]["start"]})
            while node and node.type not in ("field_initializer", "shorthand_field_initializer"):
                node = node.parent
        if node is None:
            return False
        self.planted[node.id].append((number, mutant))
        return True

    def plant_constant(self, number, mutant, node):
        """A constant gets another beside it, to be chosen wherever a function uses it."""
        item = node
        while item and item.type != "const_item":
            item = item.parent
        if item is None:
            return False
        place = item.parent.parent
        owner = self.text(place.child_by_field_name("type")) if place and place.type == "impl_item" else None
        self.constants[item.id].append((number, mutant, node))
        CONSTANTS[self.text(item.child_by_field_name("name"))].append((number, self, owner))
        return True

    def note_uses(self):
        """Finds where constants are used that have mutants."""
        stack = [self.tree.root_node]
        while stack:
            node = stack.pop()
            stack += node.children
            if node.type not in ("identifier", "scoped_identifier"):
                continue
            name = node.child_by_field_name("name") if node.type == "scoped_identifier" else node
            name = self.text(name)
            if name not in CONSTANTS or (node.parent.type == "scoped_identifier" and node.type == "identifier"):
                continue
            path = self.text(node).removesuffix(name).removesuffix("::")
            numbers = [number for number, file, owner in CONSTANTS[name] if self.names(node, path, file, owner, name)]
            if not numbers:
                continue
            if has_ancestor(node, "use_declaration"):
                self.uses[node.id] = ("import", path, name, numbers)
            elif not is_constant(node) and not has_ancestor(node, "match_pattern", "tuple_struct_pattern", "or_pattern"):
                self.uses[node.id] = ("use", path, name, numbers)

    def names(self, node, path, file, owner, name):
        """Whether a path means the constant of this name in a file, or of a type there."""
        if owner:
            while node and node.type != "impl_item":
                node = node.parent
            here = node and self.text(node.child_by_field_name("type"))
            return path.split("::")[-1] == owner or (path == "Self" and here == owner and file is self)
        if path:
            return path.split("::")[-1] == file.module
        return file is self or any(
            name in line and f"{file.module}::" in line for line in self.source.decode().split(";") if "use " in line
        )

    def text(self, node):
        return self.source[node.start_byte : node.end_byte].decode()

    def render(self, node):
        """The node's text with the mutants in it."""
        if use := self.uses.get(node.id):
            kind, path, name, numbers = use
            path = path and path + "::"
            others = [f"{name}_{number}" for number in numbers]
            if kind == "import":
                names = ", ".join([name, *others])
                return f"{path}{{{names}}}" if path else names
            first = numbers[0]
            choices = [
                f"if {CALL}({number}) {{ /*<{number}*/{path}{other}/*{number}>*/ }}"
                for number, other in zip(numbers, others)
            ]
            return f"(/*<{first}*/" + " else ".join(choices) + f" else {{ {path}{name} }}/*{first}>*/)"
        text = self.render_children(node)
        for number, mutant, operation in self.constants.get(node.id, []):
            name = node.child_by_field_name("name")
            left, right = operation.child_by_field_name("left"), operation.child_by_field_name("right")
            other = self.source[node.start_byte : name.end_byte].decode() + f"_{number}"
            other += self.source[name.end_byte : left.end_byte].decode() + f" {mutant['replacement']} "
            other += self.source[right.start_byte : node.end_byte].decode()
            before, conditions = node.prev_sibling, ""
            while before and before.type in ("attribute_item", "line_comment"):
                if before.type == "attribute_item":
                    conditions += self.text(before)
                before = before.prev_sibling
            text += f"/*<{number}*/{conditions} {other}/*{number}>*/"
        mutants = self.planted.get(node.id)
        if not mutants:
            return text
        genre = mutants[0][1]["genre"]
        first = mutants[0][0]
        if genre == "FnValue":
            choices = "".join(
                f"if {CALL}({number}) {{ return /*<{number}*/({mutant['replacement']})/*{number}>*/; }}"
                for number, mutant in mutants
            )
            return "{" + f"/*<{first}*/" + choices + f"/*{first}>*/" + text[1:]
        if genre == "MatchArm":
            condition = node.child_by_field_name("condition")
            lives = f"!{CALL}({first})"
            if condition is None:
                return f"/*<{first}*/{text} if {lives}/*{first}>*/"
            pattern, guard = self.text(node)[: condition.start_byte - node.start_byte], self.render(condition)
            return f"/*<{first}*/{pattern} {lives} && ({guard})/*{first}>*/"
        if genre == "StructField":
            literal = node.parent
            base = next(child for child in literal.children if child.type == "base_field_initializer")
            field = self.text(node.child_by_field_name("field") or node)
            value = node.child_by_field_name("value")
            value = self.render(value) if value else field
            base = self.text(base).removeprefix("..")
            return f"/*<{first}*/{field}: (if {CALL}({first}) {{ ({base}).{field} }} else {{ {value} }})/*{first}>*/"
        choices = []
        for number, mutant in mutants:
            if genre == "MatchArmGuard":
                instead = mutant["replacement"]
            elif genre == "UnaryOperator":
                instead = self.text(node.children[-1])
            else:
                start, end = self.offset(mutant["span"]["start"]), self.offset(mutant["span"]["end"])
                instead = self.source[node.start_byte : start].decode() + mutant["replacement"]
                instead += self.source[end : node.end_byte].decode()
            choices.append(f"if {CALL}({number}) {{ /*<{number}*/{instead}/*{number}>*/ }}")
        return f"(/*<{first}*/" + " else ".join(choices) + f" else {{ {text} }}/*{first}>*/)"

    def render_children(self, node):
        if not node.children:
            return self.text(node)
        parts, at = [], node.start_byte
        for child in node.children:
            parts.append(self.source[at : child.start_byte].decode())
            parts.append(self.render(child))
            at = child.end_byte
        parts.append(self.source[at : node.end_byte].decode())
        return "".join(parts)


def is_constant(node):
    """Whether a node is evaluated by the compiler whatever happens: in a constant, a type or a pattern."""
    while node is not None:
        if node.type in ("const_item", "static_item", "array_type", "const_block", "type_arguments", "enum_variant"):
            return True
        if node.type in ("function_item", "closure_expression"):
            return False
        node = node.parent
    return True


def has_ancestor(node, *kinds):
    while node is not None:
        if node.type in kinds:
            return True
        node = node.parent
    return False


def plant(tree, mutants, left_out):
    """Changes a copy of the repository in place; the numbers of the mutants for which there is no way.

    Those that are left out, since they do not compile, are not among them.
    """
    CONSTANTS.clear()
    sources = tree / "localack-core/src"
    files = {path: File(path) for path in sources.rglob("*.rs") if path.name != "tests.rs" and path.parent.name != "tests"}
    unplanted = [
        number
        for number, mutant in enumerate(mutants)
        if number not in left_out and not files[tree / mutant["file"]].plant(number, mutant)
    ]
    for file in files.values():
        file.note_uses()
    for path, file in files.items():
        root = file.tree.root_node
        path.write_text(file.source[: root.start_byte].decode() + file.render(root))
    root = sources / "lib.rs"
    features = "#![feature(core_intrinsics, const_eval_select)]"
    root.write_text(root.read_text().replace("#![no_std]", f"#![no_std]\n{features}\npub mod planted;"))
    shutil.copy(pathlib.Path(__file__).with_name("planted.rs"), sources / "planted.rs")
    return unplanted
