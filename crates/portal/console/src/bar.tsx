// The bar at the top: where one can go, and who one is.
import { Chip } from "./chips";
import { Icon, Rose } from "./icons";
import { Menu } from "./menu";
import { Link, path } from "./route";
import { me, signOut } from "./session";
import { ThemeButton } from "./theme";
import { failed } from "./toasts";

export function Bar() {
  const can = me.value?.can ?? {};
  const links = [
    ["/", "Catalog"],
    ["/keys", "My keys"],
    ...(can.createProducts || can.updateAnyProduct ? [["/products", "Products"]] : []),
    ...(can.createProducts || can.approveAnyKey || can.decideKeys ? [["/approvals", "Approvals"]] : []),
  ] as [string, string][];
  return (
    <header class="bar">
      <Link class="brand" to="/">
        <Rose /> Portolan
      </Link>
      <nav aria-label="Main">
        <ul>
          {links.map(([to, label]) => (
            <li key={to}>
              <Link to={to} class="tab" current={isHere(to)}>
                {label}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <div class="row tools">
        <ThemeButton />
        <Person />
      </div>
    </header>
  );
}

function isHere(to: string): boolean {
  // The page of a product belongs to the catalog.
  if (to === "/") return path.value === "/" || path.value.startsWith("/products/");
  return path.value === to || (to !== "/products" && path.value.startsWith(`${to}/`));
}

function Person() {
  const person = me.value;
  if (!person) return null;
  const name = person.name || person.user;
  const leave = () => signOut().catch((error: unknown) => failed("Signing out failed", error));
  const initials = [...name].slice(0, 2).join("").toUpperCase();
  return (
    <Menu label={`${initials}: account of ${name}`} face={<span class="initials">{initials}</span>}>
      <div class="person-card">
        <p class="strong">{name}</p>
        {name !== person.user && <p class="soft small">{person.user}</p>}
        {person.email && <p class="soft small">{person.email}</p>}
        {person.groups.length > 0 && (
          <ul class="chips" aria-label="Groups">
            {person.groups.slice(0, 12).map((group) => (
              <li key={group}>
                <Chip>{group}</Chip>
              </li>
            ))}
          </ul>
        )}
      </div>
      {person.via === "session" && (
        <button type="button" onClick={leave}>
          <Icon name="arrow" /> {person.demo ? "Be somebody else" : "Sign out"}
        </button>
      )}
    </Menu>
  );
}
