// Every hook answers true, after some milliseconds: the argument.
export default function slowHooks({ argument }) {
  const yes = () => new Promise((resolve) => setTimeout(resolve, argument, true))
  return { authenticate: yes, authorizePublish: yes, authorizeSubscribe: yes }
}
