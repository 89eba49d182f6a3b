// The policies of a product, and the conditions that say whether they are in force.
import { ConditionChip } from "./chips";
import { tierText } from "./limits";
import { condition } from "./phases";
import type { Product } from "./types";

export function Policies({ product }: { product: Product }) {
  return (
    <div class="stack">
      <PolicyCards product={product} />
      <Conditions product={product} />
    </div>
  );
}

/** What the controller has found; `level` is that of the heading of each card. */
export function PolicyCards({ product, level = 2 }: { product: Product; level?: 2 | 3 }) {
  const parts = { product, level };
  return (
    <div class="cards">
      <PolicyCard title="Plan Policy" type="PlanPolicyDiscovered" {...parts}>
        {(product.status?.discoveredPlans ?? []).map((plan) => (
          <li key={plan.tier}>{tierText(plan)}</li>
        ))}
      </PolicyCard>
      <PolicyCard title="Auth Policy" type="AuthPolicyDiscovered" {...parts}>
        {Object.entries(product.status?.discoveredAuthScheme?.authentication ?? {}).map(([name, scheme]) => (
          <li key={name}>
            {name}: {Object.keys(scheme).find((kind) => ["apiKey", "jwt"].includes(kind)) ?? "another method"}
          </li>
        ))}
      </PolicyCard>
    </div>
  );
}

interface PolicyCardProps {
  title: string;
  product: Product;
  type: string;
  level: 2 | 3;
  children: preact.ComponentChildren;
}

function PolicyCard({ title, product, type, level, children }: PolicyCardProps) {
  const found = condition(product, type);
  return (
    <section class="card stack" aria-label={title}>
      <div class="row">
        {level === 2 ? <h2 class="grow">{title}</h2> : <h3 class="grow">{title}</h3>}
        <ConditionChip of={found} />
      </div>
      <p class="soft wrap">{found?.message ?? "Nothing is known yet."}</p>
      <ul class="bullets">{children}</ul>
    </section>
  );
}

function Conditions({ product }: { product: Product }) {
  const conditions = product.status?.conditions ?? [];
  return (
    <section class="card" aria-labelledby="conditions">
      <h2 id="conditions">Conditions</h2>
      {conditions.length === 0 && <p class="soft">The controller has not looked at this product yet.</p>}
      {conditions.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Condition</th>
              <th scope="col">State</th>
              <th scope="col">Message</th>
            </tr>
          </thead>
          <tbody>
            {conditions.map((one) => (
              <tr key={one.type}>
                <th scope="row" data-label="Condition">
                  {one.type}
                </th>
                <td data-label="State">
                  <ConditionChip of={one} />
                </td>
                <td data-label="Message" class="wrap">
                  {one.message}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
