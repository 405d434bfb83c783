// `authenticate` of a password file. The argument: passwords by user name.
export default async function passwordFile({ gnatmq, argument }) {
  const lines = await Promise.all(
    Object.entries(argument).map(async ([name, password]) => `${name}:${await gnatmq.hashPassword(password)}`),
  )
  const users = gnatmq.PasswordFile.parse(lines.join('\n'), 'passwords')
  return { authenticate: (client, { username, password }) => users.verify(username, password, client) }
}
