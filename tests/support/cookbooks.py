"""What the public Claude cookbooks ask, for the SDK and as cells of a notebook.

Each recipe is written here anew after a notebook of `anthropics/claude-cookbooks`: the same parameters, blocks and
order, with short texts, and with models that the API still serves. What those refuse, such as `temperature`, is left
out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A notebook of the cookbooks: the code for the SDK, and the cells that take its place.

    `files` is code that writes the files that both read; `before` is code that both run first. `is_cached` says whether
    the recipe is about cache breakpoints.
    """

    name: str
    sdk: str
    cells: tuple[str, ...]
    files: str = ""
    before: str = ""
    is_cached: bool = False


EXTENDED_THINKING = Recipe(
    "extended thinking",  # extended_thinking/extended_thinking.ipynb
    sdk="""
        reply = client.messages.create(
            model="claude-sonnet-4-6",
            max_tokens=4000,
            thinking={"type": "enabled", "budget_tokens": 2000},
            messages=[{"role": "user", "content": "Three people pay $30 for a room. Where is the last dollar?"}],
        )
        for block in reply.content:
            if block.type == "thinking":
                print(block.thinking)
            elif block.type == "text":
                print(block.text)
    """,
    cells=(
        "%%claude -m claude-sonnet-4-6 --max-tokens 4000 --thinking 2000\n"
        "Three people pay $30 for a room. Where is the last dollar?",
    ),
)
THINKING_WITH_TOOLS = Recipe(
    "extended thinking with tools",  # extended_thinking/extended_thinking_with_tool_use.ipynb
    sdk="""
        import json
        def weather(location):
            known = {"Paris": {"temperature": 65, "condition": "Rainy"}}
            return known.get(location, {"error": f"No weather data available for {location}"})
        def news(topic):
            return {"headlines": [f"No news of {topic}"]}
        def described(name, description, parameter, about):
            properties = {parameter: {"type": "string", "description": about}}
            schema = {"type": "object", "properties": properties, "required": [parameter]}
            return {"name": name, "description": description, "input_schema": schema}
        functions = {"weather": weather, "news": news}
        tools = [
            described("weather", "Get current weather information.", "location", "The location to get weather for."),
            described("news", "Get latest news headlines for a topic.", "topic", "The topic to get news about."),
        ]
        messages = [{"role": "user", "content": "What does weather say of Paris?"}]
        while True:
            reply = client.messages.create(
                model="claude-sonnet-4-6",
                max_tokens=4000,
                thinking={"type": "enabled", "budget_tokens": 2000},
                tools=tools,
                messages=messages,
            )
            if reply.stop_reason != "tool_use":
                break
            messages.append({"role": "assistant", "content": reply.content})
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": block.id,
                    "content": json.dumps(functions[block.name](**block.input)),
                }
                for block in reply.content
                if block.type == "tool_use"
            ]
            messages.append({"role": "user", "content": results})
        print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "def weather(location: str) -> dict:\n"
        '    """Get current weather information.\n\n'
        '    Args:\n        location: The location to get weather for.\n    """\n'
        '    known = {"Paris": {"temperature": 65, "condition": "Rainy"}}\n'
        '    return known.get(location, {"error": f"No weather data available for {location}"})\n\n'
        "def news(topic: str) -> dict:\n"
        '    """Get latest news headlines for a topic.\n\n'
        '    Args:\n        topic: The topic to get news about.\n    """\n'
        '    return {"headlines": [f"No news of {topic}"]}',
        '%config ClaudeMagic.approve = {"weather": "always", "news": "always"}',
        "%%claude -m claude-sonnet-4-6 --max-tokens 4000 --thinking 2000 --tools weather,news\n"
        "What does weather say of Paris?",
    ),
)
TOOL_CHOICE = Recipe(
    "tool choice",  # tool_use/tool_choice.ipynb
    before="""
        def number(about):
            return {"type": "number", "description": about}
        def tool(name, description, **properties):
            schema = {"type": "object", "properties": properties, "required": list(properties)}
            return {"name": name, "description": description, "input_schema": schema}
        search = tool("web_search", "Searches the web for a topic.", topic={"type": "string", "description": "Which?"})
        scores = tool(
            "print_sentiment_scores", "Prints the sentiment scores of a text.",
            positive_score=number("From 0.0 to 1.0."), negative_score=number("From 0.0 to 1.0."),
        )
        add = tool("calculator", "Adds two numbers.", num1=number("first number"), num2=number("second number"))
        knowing = "Answer from what you know. Only search the web for what you cannot answer."
        texting = "All your communication with a user is done via text message."
    """,
    sdk="""
        def ask(question, tools, choice, **others):
            reply = client.messages.create(
                model="claude-sonnet-4-6",
                max_tokens=1000,
                tools=tools,
                tool_choice=choice,
                messages=[{"role": "user", "content": question}],
                **others,
            )
            last = reply.content[-1]
            print(last.text if last.type == "text" else last)
        ask("What color is the sky?", [search], {"type": "auto"}, system=knowing)
        ask("I love my cats!", [scores, add], {"type": "tool", "name": "print_sentiment_scores"})
        ask("Hey there! How are you?", [scores, add], {"type": "any"}, system=texting)
        ask("What is 1 + 1?", [scores, add], {"type": "none"})
    """,
    cells=(
        "%config ClaudeMagic.model = 'claude-sonnet-4-6'\n%config ClaudeMagic.max_tokens = 1000\n"
        "%config ClaudeMagic.once = True",
        '%claude --tools search --tool-choice auto -s "{{knowing}}" What color is the sky?',
        "%claude --tools scores,add --tool-choice print_sentiment_scores I love my cats!",
        '%claude --tools scores,add --tool-choice any -s "{{texting}}" Hey there! How are you?',
        "%claude --tools scores,add --tool-choice none What is 1 + 1?",
    ),
)
CALCULATOR = Recipe(
    "calculator",  # tool_use/calculator_tool.ipynb
    sdk="""
        import re
        def calculate(expression):
            expression = re.sub(r"[^0-9+\\-*/().]", "", expression)
            try:
                return str(eval(expression))
            except (SyntaxError, ZeroDivisionError, NameError, TypeError, OverflowError):
                return "Error: Invalid expression"
        tools = [{
            "name": "calculator",
            "description": "A simple calculator that performs basic arithmetic operations.",
            "input_schema": {
                "type": "object",
                "properties": {"expression": {"type": "string", "description": "What to evaluate, such as 2 + 3 * 4."}},
                "required": ["expression"],
            },
        }]
        for question in ("What does the calculator say of 1984135 * 9343116?", "And the calculator of 7 / 2?"):
            messages = [{"role": "user", "content": question}]
            while True:
                reply = client.messages.create(model="claude-opus-5-5", max_tokens=4096, tools=tools, messages=messages)
                if reply.stop_reason != "tool_use":
                    break
                messages.append({"role": "assistant", "content": reply.content})
                results = [
                    {"type": "tool_result", "tool_use_id": block.id, "content": calculate(block.input["expression"])}
                    for block in reply.content
                    if block.type == "tool_use"
                ]
                messages.append({"role": "user", "content": results})
            print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "import re\n\ndef calculator(expression: str) -> str:\n"
        '    """A simple calculator that performs basic arithmetic operations.\n\n'
        '    Args:\n        expression: What to evaluate, such as 2 + 3 * 4.\n    """\n'
        '    expression = re.sub(r"[^0-9+\\-*/().]", "", expression)\n'
        "    try:\n        return str(eval(expression))\n"
        "    except (SyntaxError, ZeroDivisionError, NameError, TypeError, OverflowError):\n"
        '        return "Error: Invalid expression"',
        '%config ClaudeMagic.approve = {"calculator": "always"}',
        "%%claude --once --tools calculator --max-tokens 4096\nWhat does the calculator say of 1984135 * 9343116?",
        "%%claude --once --tools calculator --max-tokens 4096\nAnd the calculator of 7 / 2?",
    ),
)
JSON_BY_TOOL = Recipe(
    "structured JSON by a tool",  # tool_use/extracting_structured_json.ipynb
    before="""
        def said(about):
            return {"type": "string", "description": about}
        properties = {"name": said("The entity."), "type": said("PERSON and so on."), "context": said("Where it is.")}
        entity = {"type": "object", "properties": properties, "required": ["name", "type", "context"]}
        print_entities = {
            "name": "print_entities",
            "description": "Prints extract named entities.",
            "input_schema": {
                "type": "object",
                "properties": {"entities": {"type": "array", "items": entity}},
                "required": ["entities"],
            },
        }
        print_all_characteristics = {
            "name": "print_all_characteristics",
            "description": "Prints all characteristics which are provided.",
            "input_schema": {"type": "object", "additionalProperties": True},
        }
        text = "John works at Google in New York."
    """,
    sdk="""
        query = f"<document>\\n{text}\\n</document>\\n\\nUse the print_entities tool."
        reply = client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=4096,
            tools=[print_entities],
            messages=[{"role": "user", "content": query}],
        )
        entities = next(block.input for block in reply.content if block.type == "tool_use")
        reply = client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=4096,
            tools=[print_all_characteristics],
            tool_choice={"type": "tool", "name": "print_all_characteristics"},
            messages=[{"role": "user", "content": "The man is tall, with a beard. Use the tool."}],
        )
        characteristics = next(block.input for block in reply.content if block.type == "tool_use")
    """,
    cells=(
        "%%claude -m claude-haiku-4-5 --once --max-tokens 4096 --tools print_entities --out reply\n"
        "<document>\n{{text}}\n</document>\n\nUse the print_entities tool.",
        'entities = next(block["input"] for block in reply.blocks if block["type"] == "tool_use")',
        "%%claude -m claude-haiku-4-5 --once --max-tokens 4096 --tools print_all_characteristics "
        "--tool-choice print_all_characteristics --out reply\n"
        "The man is tall, with a beard. Use the tool.",
        'characteristics = next(block["input"] for block in reply.blocks if block["type"] == "tool_use")',
    ),
)
JSON_BY_SCHEMA = Recipe(
    "structured JSON by a schema",
    sdk="""
        import json
        schema = {
            "type": "object",
            "properties": {
                "entities": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "kind": {"type": "string"},
                            "context": {"type": "string"},
                        },
                        "required": ["name", "kind", "context"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["entities"],
            "additionalProperties": False,
        }
        reply = client.messages.create(
            model="claude-opus-5-5",
            max_tokens=4096,
            output_config={"format": {"type": "json_schema", "schema": schema}},
            messages=[{"role": "user", "content": "Which entities? John works at Google in New York."}],
        )
        entities = json.loads(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "from dataclasses import dataclass\n\n"
        "@dataclass\nclass Entity:\n    name: str\n    kind: str\n    context: str\n\n"
        "@dataclass\nclass Found:\n    entities: list[Entity]",
        "%%claude --schema Found --out entities --max-tokens 4096\nWhich entities? John works at Google in New York.",
    ),
)
PDF = Recipe(
    "PDF",  # misc/pdf_upload_summarization.ipynb
    files="""
        from support.pdf_files import pdf_of
        open("paper.pdf", "wb").write(pdf_of(2))
    """,
    sdk="""
        import base64
        with open("paper.pdf", "rb") as file:
            data = base64.b64encode(file.read()).decode("utf-8")
        document = {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": data},
        }
        reply = client.messages.create(
            model="claude-opus-5-5",
            max_tokens=2048,
            messages=[{"role": "user", "content": [
                document, {"type": "text", "text": "Summarize the abstract at a kindergarten reading level."},
            ]}],
        )
        print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=("%%claude -f paper.pdf --max-tokens 2048\nSummarize the abstract at a kindergarten reading level.",),
)
TRANSCRIBING = Recipe(
    "transcribing images",  # multimodal/how_to_transcribe_text.ipynb
    files="""
        from PIL import Image
        Image.new("RGB", (60, 40), "teal").save("notes.png")
        Image.new("RGB", (600, 400), "red").save("form.jpeg")
    """,
    sdk="""
        import base64
        def transcribe(path, media_type, question):
            with open(path, "rb") as file:
                data = base64.b64encode(file.read()).decode("utf-8")
            source = {"type": "base64", "media_type": media_type, "data": data}
            reply = client.messages.create(
                model="claude-opus-5-5",
                max_tokens=2048,
                messages=[{"role": "user", "content": [
                    {"type": "image", "source": source}, {"type": "text", "text": question},
                ]}],
            )
            print(next(block.text for block in reply.content if block.type == "text"))
        transcribe("notes.png", "image/png", "Transcribe this text. Only output the text and nothing else.")
        transcribe("form.jpeg", "image/jpeg", "Transcribe this form exactly.")
    """,
    cells=(
        "%%claude --once -i notes.png --max-tokens 2048\nTranscribe this text. Only output the text and nothing else.",
        "%%claude --once -i form.jpeg --max-tokens 2048\nTranscribe this form exactly.",
    ),
)
LABELLED_IMAGES = Recipe(
    "labelled images",  # multimodal/best_practices_for_vision.ipynb
    files="""
        from PIL import Image
        Image.new("RGB", (60, 40), "teal").save("one.png")
        Image.new("RGB", (60, 40), "red").save("two.png")
    """,
    sdk="""
        import base64
        def encoded(path):
            with open(path, "rb") as file:
                return base64.b64encode(file.read()).decode("utf-8")
        def image(path):
            source = {"type": "base64", "media_type": "image/png", "data": encoded(path)}
            return {"type": "image", "source": source}
        reply = client.messages.create(
            model="claude-opus-5-5",
            max_tokens=2048,
            messages=[{"role": "user", "content": [
                {"type": "text", "text": "Image 1:"}, image("one.png"),
                {"type": "text", "text": "Image 2:"}, image("two.png"),
                {"type": "text", "text": "How are these images different?"},
            ]}],
        )
        print(next(block.text for block in reply.content if block.type == "text"))
    """,
    cells=(
        "from PIL import Image\none, two = Image.open('one.png'), Image.open('two.png')",
        "%%claude --max-tokens 2048\nImage 1:{{one}}Image 2:{{two}}How are these images different?",
    ),
)
CITATIONS = Recipe(
    "citations",  # misc/using_citations.ipynb
    files="""
        from support.pdf_files import pdf_of
        open("paper.pdf", "wb").write(pdf_of(2))
        open("loyalty.txt", "w").write("Customers earn 1 point for every dollar spent. Points expire after 1 year.")
    """,
    before="""
        articles = {
            "Order Tracking": "A tracking number is sent within 48 hours. Track Package appears after that.",
            "Returns": "Items may be sent back within 30 days.",
        }
        support = "You are a customer support bot. Answer in short."
    """,
    sdk="""
        import base64
        def document(source, **about):
            return {"type": "document", "source": source, **about, "citations": {"enabled": True}}
        def ask(documents, question, **others):
            reply = client.messages.create(
                model="claude-opus-5-5",
                max_tokens=1024,
                messages=[
                    {"role": "user", "content": documents},
                    {"role": "user", "content": [{"type": "text", "text": question}]},
                ],
                **others,
            )
            for block in reply.content:
                if block.type == "text":
                    print(block.text, [citation.cited_text for citation in block.citations or []])
        def text(data):
            return {"type": "text", "media_type": "text/plain", "data": data}
        question = "Where is my order tracking number?"
        ask([document(text(body), title=title) for title, body in articles.items()], question, system=support)
        with open("paper.pdf", "rb") as file:
            data = base64.b64encode(file.read()).decode()
        paper = {"type": "base64", "media_type": "application/pdf", "data": data}
        ask([document(paper, title="Constitutional AI Paper")], "What is the main idea?")
        custom = [
            document({"type": "content", "content": [{"type": "text", "text": body}]}, title=title)
            for title, body in articles.items()
        ]
        ask(custom, question, system=support)
        with open("loyalty.txt") as file:
            loyalty = document(text(file.read()), title="Loyalty Program", context="WARNING: It may be out of date.")
        ask([loyalty], "When do points expire?")
    """,
    cells=(
        "%config ClaudeMagic.max_tokens = 1024\n%config ClaudeMagic.once = True\n"
        "def document(title, **source):\n"
        '    return {"type": "document", "source": source, "title": title}\n\n'
        'texts = [document(title, type="text", media_type="text/plain", data=articles[title]) for title in articles]\n'
        'custom = [document(title, type="content", content=[{"type": "text", "text": articles[title]}])'
        " for title in articles]",
        '%claude --citations -s "{{support}}" {{texts}}Where is my order tracking number?',
        '%claude --citations -f paper.pdf --file-title "Constitutional AI Paper" What is the main idea?',
        '%claude --citations -s "{{support}}" {{custom}}Where is my order tracking number?',
        '%claude --citations -f loyalty.txt --file-title "Loyalty Program" '
        '--file-context "WARNING: It may be out of date." When do points expire?',
    ),
)
CACHING = Recipe(
    "prompt caching",  # misc/prompt_caching.ipynb, and its book as a document
    files="""
        open("book.txt", "w").write("It is a truth universally acknowledged. " * 500)
    """,
    before="""
        book = open("book.txt").read()
    """,
    sdk="""
        ephemeral = {"cache_control": {"type": "ephemeral"}}
        def ask(messages, **others):
            reply = client.messages.create(model="claude-sonnet-4-6", max_tokens=300, messages=messages, **others)
            print(reply.usage.cache_read_input_tokens)
            return next(block.text for block in reply.content if block.type == "text")
        ask([{"role": "user", "content": [
            {"type": "text", "text": "<book>" + book + "</book>", **ephemeral},
            {"type": "text", "text": "What is the title of this book?"},
        ]}])
        system = [{"type": "text", "text": f"<file_contents> {book} </file_contents>", **ephemeral}]
        turns = []
        for question in ("What is the title of this novel?", "Who are Mr. and Mrs. Bennet?"):
            asked = {"type": "text", "text": question}
            said = ask([*turns, {"role": "user", "content": [{**asked, **ephemeral}]}], system=system)
            turns += [{"role": "user", "content": [asked]}, {"role": "assistant", "content": said}]
        source = {"type": "text", "media_type": "text/plain", "data": book}
        hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        ask([{"role": "user", "content": [
            {"type": "document", "source": source, **hour}, {"type": "text", "text": "How long is it?", **ephemeral},
        ]}])
    """,
    cells=(
        "%config ClaudeMagic.model = 'claude-sonnet-4-6'\n%config ClaudeMagic.max_tokens = 300\n"
        'cached = {"type": "text", "text": f"<book>{book}</book>", "cache_control": {"type": "ephemeral"}}',
        "%claude --once --cache off {{cached}}What is the title of this book?",
        "%claude_system --ttl 5m <file_contents> {{book}} </file_contents>",
        "%claude What is the title of this novel?",
        "%claude Who are Mr. and Mrs. Bennet?",
        "%claude_system --none",
        "%claude_pin book.txt --ttl 1h",
        "%claude -c length How long is it?",
    ),
    is_cached=True,
)
BATCHES = Recipe(
    "batches",  # misc/batch_processing.ipynb
    files="""
        from PIL import Image
        Image.new("RGB", (60, 40), "teal").save("lake.png")
    """,
    before="""
        import base64
        questions = ["How do solar panels work?", "What is a pick and roll?", "Why do leaves change color?"]
        with open("lake.png", "rb") as file:
            data = base64.b64encode(file.read()).decode("utf-8")
        lake = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        rows = [
            {"messages": [{"role": "user", "content": "What's the capital of Iceland?"}]},
            {"messages": [{"role": "user", "content": [lake, {"type": "text", "text": "Describe this landscape."}]}]},
            {"system": "You teach science.", "messages": [{"role": "user", "content": "Explain gravity to a child."}]},
            {
                "messages": [
                    {"role": "user", "content": "What is DNA?"},
                    {"role": "assistant", "content": "DNA is a molecule that carries genetic information."},
                    {"role": "user", "content": "How is it copied?"},
                ]
            },
        ]
    """,
    sdk="""
        import time
        def submit(rows):
            requests = [
                {
                    "custom_id": f"row-{number}",
                    "params": {"model": "claude-opus-5-5", "max_tokens": 1024, **row},
                }
                for number, row in enumerate(rows)
            ]
            batch = client.messages.batches.create(requests=requests)
            while client.messages.batches.retrieve(batch.id).processing_status != "ended":
                time.sleep(5)
            for each in client.messages.batches.results(batch.id):
                print(each.custom_id, each.result.type)
        submit([{"messages": [{"role": "user", "content": question}]} for question in questions])
        submit(rows)
    """,
    cells=(
        "%config ClaudeMagic.max_tokens = 1024",
        "%%claude_map questions --batch --out answers\n{{item}}",
        "%%claude_map rows --batch --nulls ask --system {{row.system}} --out told\n{{row.messages}}",
    ),
)
RECIPES = (
    *(EXTENDED_THINKING, THINKING_WITH_TOOLS, TOOL_CHOICE, CALCULATOR, JSON_BY_TOOL, JSON_BY_SCHEMA),
    *(PDF, TRANSCRIBING, LABELLED_IMAGES, CITATIONS, CACHING, BATCHES),
)
