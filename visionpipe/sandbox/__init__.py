"""A server that speaks the GLM protocol on loopback, strictly, and breaks on demand.

Where each rule of the protocol lives:

    keys.py            raw keys and JWTs                       1000 1001 1003
    parameters.py      ranges of the body's fields             1210 1213 1214
    conversation.py    roles, content parts, media order       1210 1214
    received.py        base64, bytes, pixels, formats          1210
    tools.py           function > retrieval > web_search       1210 1214
    call.py            the model and the context               1211 1212 1261
    limits.py          requests in flight, ids used before     1302 1231
    answers.py         what the model says; wording.py, the texts made here
    chat.py            whole and streamed answers; openai_dialect.py, the same in OpenAI's form
    tasks.py, files.py, batches.py, tuning.py, tokenizer.py, agents.py, applications.py
    scenario.py        the file of faults; fault_plan.py: when, damage.py, shapes.py, delivery.py: how
    app.py             the routes, and what happens to every request on its way
    server.py          sockets and threads; loopback.py: bound to this machine, and who may reach it

A fact about a model comes from the registry's records, the same ones that the client reads.
"""
