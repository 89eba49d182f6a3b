// Schemas as trees that open step by step.
import { Prose } from "./definition";
import type { Schema } from "./types";

export function typeText(schema: Schema): string {
  if (schema.ref) return schema.ref;
  if (schema.items) return `array of ${typeText(schema.items)}`;
  if (schema.oneOf) return "one of";
  const type = schema.type ?? (schema.properties ? "object" : "any");
  return schema.format ? `${type} (${schema.format})` : type;
}

export function SchemaTree({ schema, depth = 0 }: { schema: Schema; depth?: number }) {
  const inner = schema.items ?? schema;
  return (
    <div class="schema">
      {depth === 0 && <p class="soft small">{typeText(schema)}</p>}
      {inner.enum && <p class="small wrap">{`One of: ${inner.enum.map((value) => JSON.stringify(value)).join(", ")}`}</p>}
      {inner.oneOf?.map((choice, index) => (
        <details key={index} class="schema-node">
          <summary>{`Choice ${index + 1}: ${typeText(choice)}`}</summary>
          <SchemaTree schema={choice} depth={depth + 1} />
        </details>
      ))}
      {inner.properties && (
        <ul class="schema-list">
          {inner.properties.map((property) => (
            <Property key={property.name} {...property} depth={depth} />
          ))}
        </ul>
      )}
    </div>
  );
}

interface PropertyProps {
  name: string;
  required?: boolean;
  schema: Schema;
  depth: number;
}

function Property({ name, required, schema, depth }: PropertyProps) {
  const inner = schema.items ?? schema;
  const hasMore = Boolean(inner.properties ?? inner.oneOf ?? inner.enum);
  const line = (
    <>
      <code>{name}</code> <span class="soft small">{typeText(schema)}</span>{" "}
      {required && <span class="bad-text small">required</span>}
    </>
  );
  return (
    <li>
      {hasMore ? (
        <details class="schema-node" open={depth < 1}>
          <summary>{line}</summary>
          <Prose html={schema.description} />
          <SchemaTree schema={schema} depth={depth + 1} />
        </details>
      ) : (
        <div class="schema-leaf">
          {line}
          <Prose html={schema.description} />
        </div>
      )}
    </li>
  );
}
